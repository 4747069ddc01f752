package dev.vbn.cli.report;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Where the kit ran: versions and machine. */
public record Environment(String vbn, String java, String system, int processors) {

  /** What runs this. */
  public static Environment here() {
    return new Environment(
        Optional.ofNullable(versionOf(Environment.class)).orElse("unpackaged classes"),
        System.getProperty("java.runtime.version") + " (" + System.getProperty("java.vendor") + ")",
        System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
            + System.getProperty("os.arch"),
        Runtime.getRuntime().availableProcessors());
  }

  /** Version that the manifest of a class's jar states; null if there is none. */
  public static @Nullable String versionOf(Class<?> type) {
    return type.getPackage().getImplementationVersion();
  }
}
