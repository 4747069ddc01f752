package dev.vbn.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static java.util.stream.Collectors.joining;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.cli.report.BackendResult;
import dev.vbn.cli.report.CheckResult;
import dev.vbn.cli.report.CheckResult.Thrown;
import dev.vbn.cli.report.ConformanceReport;
import dev.vbn.cli.report.Environment;
import dev.vbn.cli.report.HtmlReport;
import dev.vbn.cli.report.JsonReport;
import dev.vbn.cli.report.Numbers;
import dev.vbn.cli.report.RuleResult;
import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.state.StagedFiles.StagedFile;
import dev.vbn.tensor.TensorType;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Runs the conformance kit. */
@Command(name = "conform", description = "Runs the conformance kit against backends.")
@SuppressWarnings("NullAway.Init") // picocli sets them
final class ConformCommand implements Callable<Integer> {
  private static final String REPORT = "--report";
  private static final String EXPORT = "--export";
  private static final String CHECK = "--check";
  private static final String CAPABILITIES = "--capabilities";
  private static final String COMMAND_PROPERTY = "vbn.process.command";

  /** As the JUnit Platform names it, in the directory that it is given. */
  private static final String XML = "TEST-junit-jupiter.xml";

  @Spec
  private CommandSpec spec;

  @Option(
      names = "--backend",
      paramLabel = "NAME",
      description = "Backend to test; may be repeated. Default: every one that can be used here.")
  private List<String> names = List.of();

  @Option(
      names = "--command",
      paramLabel = "COMMAND",
      description =
          "Command that starts a program to test: the backend 'process', see docs/PROCESS.md.")
  private @Nullable String command;

  @Option(
      names = REPORT,
      paramLabel = "DIR",
      description =
          "Directory that takes conformance.html, the same as conformance.json, and JUnit XML in a"
              + " directory per backend; made if it is missing.")
  private @Nullable Path directory;

  @Option(
      names = EXPORT,
      paramLabel = "DIR",
      description =
          "Tests nothing; writes the kit's inputs, expected values and bounds as files, for who"
              + " cannot be called. Its README.md says how to answer them.")
  private @Nullable Path exported;

  @Option(
      names = CHECK,
      paramLabel = "DIR",
      description = "Tests the answers in a directory that --export wrote.")
  private @Nullable Path checked;

  @Option(
      names = CAPABILITIES,
      paramLabel = "NAMES",
      split = ",",
      description =
          "With --export: what can be done, of FLOAT64, FLOAT64_STATISTICS and SUBNORMALS. Default:"
              + " all of them.")
  private @Nullable Set<Capability> capabilities;

  @Override
  public Integer call() throws IOException {
    if (exported != null || checked != null) {
      return data();
    }
    if (capabilities != null) {
      throw new BadInputException(CAPABILITIES + " is given without " + EXPORT
          + "; expected both, for a backend says itself what it can");
    }
    String before = System.getProperty(COMMAND_PROPERTY);
    if (command != null) {
      names = Stream.concat(names.stream(), Stream.of("process")).toList();
      System.setProperty(COMMAND_PROPERTY, command);
    }
    try {
      return test();
    } finally {
      if (before != null) {
        System.setProperty(COMMAND_PROPERTY, before);
      } else {
        System.clearProperty(COMMAND_PROPERTY);
      }
    }
  }

  private int data() throws IOException {
    if (!names.isEmpty()
        || command != null
        || directory != null
        || (exported != null && checked != null)
        || (checked != null && capabilities != null)) {
      throw new BadInputException("more is given than " + (exported != null ? EXPORT : CHECK)
          + "; expected it alone" + (exported != null ? ", or with " + CAPABILITIES : ""));
    }
    PrintWriter out = spec.commandLine().getOut();
    if (checked != null) {
      return SuiteFiles.check(checked, out) ? 0 : 1;
    }
    Path target = requireNonNull(exported);
    SuiteFiles.export(
        target, capabilities == null ? EnumSet.allOf(Capability.class) : capabilities, out);
    return 0;
  }

  private int test() throws IOException {
    List<BackendCandidate> candidates = candidates();
    try (StagedOutputs outputs = new StagedOutputs()) {
      StagedFile html = null;
      StagedFile json = null;
      if (directory != null) {
        makeDirectory(outputs, directory);
        html = outputs.stage(REPORT, directory.resolve("conformance.html"));
        json = outputs.stage(REPORT, directory.resolve("conformance.json"));
      }
      ConformanceReport report = test(candidates, outputs);
      print(report);
      if (html != null && json != null) {
        // As bytes, because a message may hold what cannot be encoded.
        byte[] page = HtmlReport.of(report).getBytes(UTF_8);
        html.write(out -> out.write(page));
        byte[] numbers = JsonReport.of(report).getBytes(UTF_8);
        json.write(out -> out.write(numbers));
        outputs.commit();
      }
      return report.conforms() ? 0 : 1;
    }
  }

  private static void makeDirectory(StagedOutputs outputs, Path directory) {
    if (Files.exists(directory) && !Files.isDirectory(directory)) {
      throw new BadInputException(
          REPORT + " " + directory + ": cannot be made a directory; expected a place for one");
    }
    outputs.makeDirectory(REPORT, directory);
  }

  private List<BackendCandidate> candidates() {
    VbnBackends found = BackendOption.find();
    if (names.isEmpty()) {
      return found.list();
    }
    Set<String> distinct = new TreeSet<>(names);
    return distinct.stream().map(name -> BackendOption.named(found, name)).toList();
  }

  private ConformanceReport test(List<BackendCandidate> candidates, StagedOutputs outputs) {
    Instant started = Instant.now();
    long start = System.nanoTime();
    List<BackendResult> results = new ArrayList<>();
    for (BackendCandidate candidate : candidates) {
      results.add(
          candidate.availability().available()
              ? test(candidate, outputs)
              : result(candidate, List.of(), OptionalLong.empty(), Duration.ZERO));
    }
    return new ConformanceReport(
        Environment.here(), started, Duration.ofNanos(System.nanoTime() - start), results);
  }

  private BackendResult test(BackendCandidate candidate, StagedOutputs outputs) {
    Path xml = null;
    if (directory != null) {
      Path folder = directory.resolve(candidate.name());
      outputs.makeDirectory(REPORT, folder);
      xml = outputs.stage(REPORT, folder.resolve(XML)).path();
    }
    long start = System.nanoTime();
    try (Progress progress = new Progress(spec.commandLine().getErr())) {
      ConformanceRun run =
          ConformanceRun.of(candidate.name(), xml == null ? null : xml.getParent(), progress);
      Duration duration = Duration.ofNanos(System.nanoTime() - start);
      return result(candidate, run.checks(), run.seed(), duration);
    }
  }

  private BackendResult result(
      BackendCandidate candidate, List<CheckResult> checks, OptionalLong seed, Duration duration) {
    VbnProvider<?> provider = candidate.provider();
    TensorType<?> tensorType = candidate.tensorType();
    return new BackendResult(
        candidate.name(),
        ErrorLine.of(candidate.availability().description()),
        candidate.availability().available(),
        // One that was named has to be there.
        !names.isEmpty() || Boolean.getBoolean(VbnConformance.REQUIRE_DEVICE_PROPERTY),
        tensorType == null ? null : tensorType.toString(),
        BackendsCommand.shortOrigin(candidate.origin()),
        provider == null ? null : Environment.versionOf(provider.getClass()),
        checks,
        seed,
        duration);
  }

  private void print(ConformanceReport report) {
    PrintWriter out = spec.commandLine().getOut();
    Table table = new Table(
        "BACKEND", "PASSED", "ABSENT", "NO DEVICE", "FAILED", "WORST ULPS", "TIME", "VERDICT");
    for (BackendResult backend : report.backends()) {
      if (backend.available()) {
        table.row(
            backend.name(),
            Integer.toString(backend.count(Outcome.PASSED)),
            Integer.toString(backend.count(Outcome.DECLARED_ABSENT)),
            Integer.toString(backend.count(Outcome.NO_DEVICE)),
            Integer.toString(backend.count(Outcome.FAILED)),
            Numbers.ulps(backend.worstUlps()),
            Numbers.seconds(backend.duration()),
            backend.verdict().label());
        table.note(backend.description());
      } else {
        String none = "-";
        table.row(
            backend.name(),
            none,
            none,
            none,
            none,
            none,
            none,
            backend.verdict().label());
        table.note("unavailable: " + backend.description());
      }
    }
    table.print(out);
    for (BackendResult backend : report.backends()) {
      printFailures(out, backend);
    }
    if (report.tested() == 0) {
      out.println();
      out.println("No backend was tested.");
    }
  }

  private static void printFailures(PrintWriter out, BackendResult backend) {
    if (backend.count(Outcome.FAILED) == 0) {
      return;
    }
    List<RuleResult> rules = backend.failedRules();
    out.println();
    out.println(
        backend.name() + ": " + rules.size() + " of " + Rule.values().length + " rules failed");
    printThrown(out, backend);
    Table table = new Table("RULE", "CHECKS", "FIRST FAILURE");
    for (RuleResult rule : rules) {
      table.row(
          rule.rule().id(),
          rule.count(Outcome.FAILED) + " of " + rule.checks().size(),
          rule.checks().stream()
              .filter(check -> check.outcome() == Outcome.FAILED)
              .findFirst()
              .map(ConformCommand::line)
              .orElse(""));
    }
    for (CheckResult failure : backend.failuresBesideRules()) {
      table.row("-", "-", line(failure));
    }
    table.print(out);
    List<Rule> order = backend.orderOfWork();
    if (!order.isEmpty()) {
      out.println();
      out.println("Start with " + order.stream().map(Rule::id).collect(joining(", ")) + ".");
    }
  }

  private static void printThrown(PrintWriter out, BackendResult backend) {
    if (backend.thrown().isEmpty()) {
      return;
    }
    Table table = new Table("KERNEL", "CHECKS", "THREW");
    backend.thrown().forEach((thrown, checks) -> {
      table.row(thrown.kernel(), checks.toString(), thrown.exception());
      if (thrown.frame() != null) {
        table.note("at " + thrown.frame());
      }
    });
    table.print(out);
    out.println();
  }

  private static String line(CheckResult failure) {
    Thrown thrown = failure.thrown();
    if (thrown != null) {
      return ErrorLine.of(failure.name() + ": " + thrown.kernel() + " threw, as above");
    }
    String rule = failure.rule() == null ? "" : failure.rule().id() + ": ";
    String message = failure.firstLine();
    return ErrorLine.of(failure.name() + ": "
        + (message.startsWith(rule) ? message.substring(rule.length()) : message));
  }
}
