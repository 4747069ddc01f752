package dev.vbn.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;

/** The machine, as far as it can be asked. */
final class Machine {
  private static final Path PROCESSORS = Path.of("/proc/cpuinfo");
  private static final Path MEMORY = Path.of("/proc/meminfo");

  private static final Path SCHEDULE = Path.of("/proc/thread-self/schedstat");

  private static final int TRIES = 100;

  private Machine() {}

  /** Name of the processor. */
  static String processor() {
    return line(PROCESSORS, "model name")
        .orElse(System.getenv().getOrDefault("PROCESSOR_IDENTIFIER", "unknown processor"));
  }

  /** Bytes that programs can still have without paging; empty where nobody knows. */
  static OptionalLong availableMemory() {
    return line(MEMORY, "MemAvailable")
        .map(text -> OptionalLong.of(1024 * Long.parseLong(text.replaceAll("\\D", ""))))
        .orElse(OptionalLong.empty());
  }

  /**
   * A clock that stops while the calling thread is ready to run but has no processor, where the
   * system tells.
   */
  static long nanosecondsOfThread() {
    long waited = nanosecondsWaited();
    for (int i = 0; i < TRIES; i++) {
      long now = System.nanoTime();
      long since = nanosecondsWaited();
      if (since == waited) { // or the two would not be of one moment
        return now - waited;
      }
      waited = since;
    }
    return System.nanoTime() - waited;
  }

  private static long nanosecondsWaited() {
    try {
      return Long.parseLong(Files.readString(SCHEDULE).strip().split(" ", -1)[1]);
    } catch (IOException | RuntimeException e) { // another system
      return 0;
    }
  }

  private static Optional<String> line(Path file, String key) {
    try (Stream<String> lines = Files.lines(file)) {
      return lines
          .filter(line -> line.startsWith(key))
          .map(line -> line.substring(line.indexOf(':') + 1).strip())
          .findFirst();
    } catch (IOException e) { // another system
      return Optional.empty();
    }
  }
}
