package dev.vbn.cli;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Runs the conformance kit. */
@Command(name = "conform", description = "Runs the conformance kit against backends.")
@SuppressWarnings("NullAway.Init") // picocli sets them
final class ConformCommand implements Callable<Integer> {
  @Spec
  private CommandSpec spec;

  @Option(
      names = "--backend",
      paramLabel = "NAME",
      description = "Backend to test; may be repeated. Default: every one that can be used here.")
  private List<String> names = List.of();

  @Option(
      names = "--report",
      paramLabel = "DIR",
      description =
          "Directory that takes JUnit XML, in a directory per backend; made if it is missing.")
  private @Nullable Path report;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    List<BackendCandidate> candidates = candidates();
    if (report != null) {
      makeDirectory(report);
    }
    TextTable table = new TextTable("BACKEND", "PASSED", "FAILED", "SKIPPED", "VERDICT");
    Map<String, ConformanceResult> failed = new LinkedHashMap<>();
    boolean good = true;
    boolean tested = false;
    for (BackendCandidate candidate : candidates) {
      Availability availability = candidate.availability();
      if (!availability.available()) {
        String reason = "unavailable: " + ErrorLine.of(availability.description());
        table.row(candidate.name(), "-", "-", "-", reason);
        good &= names.isEmpty(); // one that was named has to be there
        continue;
      }
      tested = true;
      ConformanceResult result = test(candidate.name());
      good &= result.conforms();
      table.row(
          candidate.name(),
          Integer.toString(result.passed()),
          Integer.toString(result.failures().size()),
          Integer.toString(result.skipped()),
          result.verdict());
      if (!result.failures().isEmpty()) {
        failed.put(candidate.name(), result);
      }
    }
    table.print(out);
    failed.forEach((name, result) -> {
      out.println();
      out.println(name + ": " + result.failures().size() + " failed");
      result.failures().forEach(failure -> out.println("  " + failure));
    });
    if (!tested) {
      out.println();
      out.println("No backend was tested.");
    }
    return good && tested ? 0 : 1;
  }

  private static void makeDirectory(Path report) {
    try {
      Files.createDirectories(report);
    } catch (IOException e) {
      throw new BadInputException(
          "--report " + report + ": cannot be made a directory; expected a place for one", e);
    }
    if (!Files.isWritable(report)) {
      throw new BadInputException(
          "--report " + report + ": cannot be written to; expected a writable directory");
    }
  }

  private List<BackendCandidate> candidates() {
    VbnBackends found = VbnBackends.find();
    if (names.isEmpty()) {
      return found.list();
    }
    Set<String> distinct = new TreeSet<>(names);
    return distinct.stream().map(name -> BackendOption.named(found, name)).toList();
  }

  private ConformanceResult test(String backend) throws IOException {
    Path directory = report == null ? null : Files.createDirectories(report.resolve(backend));
    try (Progress progress = new Progress(spec.commandLine().getErr())) {
      return ConformanceRun.of(backend, directory, progress);
    }
  }
}
