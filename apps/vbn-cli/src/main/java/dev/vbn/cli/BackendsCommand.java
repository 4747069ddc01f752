package dev.vbn.cli;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import dev.vbn.tensor.TensorType;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Lists the backends. */
@Command(
    name = "backends",
    description = "Lists the backends on the class path, and whether each can be used here.")
@SuppressWarnings("NullAway.Init") // picocli sets them
final class BackendsCommand implements Callable<Integer> {
  @Spec
  private CommandSpec spec;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    VbnBackends backends = BackendOption.find();
    if (backends.list().isEmpty()) {
      out.println(
          "No backend was found: the class path holds no provider, --class-path adds to it.");
      return 0;
    }
    Table table = new Table("NAME", "PRIORITY", "AVAILABLE", "TENSOR", "FROM");
    for (BackendCandidate candidate : backends.list()) {
      Availability availability = candidate.availability();
      TensorType<?> tensorType = candidate.tensorType();
      table.row(
          candidate.name(),
          // One that could not be loaded has no priority.
          candidate.priority() == Integer.MIN_VALUE ? "-" : Integer.toString(candidate.priority()),
          availability.available() ? "yes" : "no",
          tensorType == null ? "-" : tensorType.toString(),
          shortOrigin(candidate.origin()));
      table.note(ErrorLine.of(availability.description()));
      if (availability.devices().size() > 1) {
        table.note("devices: " + String.join(", ", availability.devices()));
      }
    }
    table.print(out);
    out.println();
    String chosen = BackendOption.defaultName(backends);
    out.println(
        chosen == null
            ? "None can be used here."
            : "Without --backend, '" + chosen + "' computes.");
    return 0;
  }

  /** File name of a jar; of a folder of classes, enough of its path to tell the module. */
  static String shortOrigin(String origin) {
    boolean folder = origin.endsWith("/");
    String path = folder ? origin.substring(0, origin.length() - 1) : origin;
    int start = path.length();
    for (int kept = folder ? 3 : 1; kept > 0 && start >= 0; kept--) {
      start = path.lastIndexOf('/', start - 1);
    }
    return path.substring(start + 1);
  }
}
