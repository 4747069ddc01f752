package dev.vbn.cuda;

import dev.vbn.VbnBackend;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * In place of the command line of the bundle, which this module's tests do not have: of the backend it
 * asks a little instead of the whole kit, by the plan that the script has named.
 */
final class BundleCommandLine {
  private BundleCommandLine() {}

  public static void main(String[] arguments) throws Exception {
    List<String> given = List.of(arguments);
    if (given.equals(List.of("backends"))) {
      System.out.println("cuda: " + new CudaProvider().probe().description());
      return;
    }
    if (given.size() != 5
        || !given.subList(0, 4).equals(List.of("conform", "--backend", "cuda", "--report"))
        || !Boolean.getBoolean("vbn.conformance.requireDevice")) {
      throw new IllegalArgumentException(given.toString());
    }
    String plan = System.getProperty(Emulator.PLAN_PROPERTY);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      Work.on(backend);
    }
    Path report = Files.createDirectories(Path.of(given.get(4)));
    Files.writeString(report.resolve("index.html"), "by plan " + plan);
  }
}
