package dev.vbn.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.vbn.BackendCandidate;
import dev.vbn.BackendUnavailableException;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.cli.CompanionStudy.LiveBatch;
import dev.vbn.cli.CompanionStudy.Method;
import dev.vbn.cli.CompanionStudy.Outputs;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Capability;
import dev.vbn.state.StagedFiles.StagedFile;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Shows on real data what virtual batch normalization is for. */
@Command(
    name = "demo",
    description =
        "Normalises handwritten digits and shows what virtual batch normalization is for, in a"
            + " table and in a picture.")
@SuppressWarnings("NullAway.Init") // picocli sets them
final class DemoCommand implements Callable<Integer> {
  /** Where the batches stand in {@link CompanionStudy#batches()}. */
  private static final int SAME = 0;

  private static final int MIXED = 1;
  private static final int ALONE = 2;

  @Spec
  private CommandSpec spec;

  @Option(
      names = "--output",
      paramLabel = "PICTURE.svg",
      defaultValue = "vbn-demo.svg",
      description = "Takes the picture, which browsers show. Default: vbn-demo.svg.")
  private Path output;

  /** What a backend computed, and on what. */
  private record Computed(Outputs outputs, String device) {}

  /** What the backends computed. */
  private static final class Results {
    /** In float32, by the name of the backend, preferred first. */
    final Map<String, Computed> single = new LinkedHashMap<>();

    /** Why other backends computed nothing. */
    final Map<String, String> unavailable = new LinkedHashMap<>();

    /** In float64, by the first backend that has it. */
    @Nullable
    Outputs exact;

    String exactBackend = "";

    Outputs preferred() {
      return single.values().iterator().next().outputs();
    }
  }

  @Override
  public Integer call() throws IOException {
    if (!output.toString().endsWith(".svg")) {
      throw new BadInputException(
          "--output " + output + ": the picture is SVG; expected a name that ends in .svg");
    }
    CompanionStudy study = new CompanionStudy(Digits.load());
    Results results;
    try (StagedOutputs outputs = new StagedOutputs();
        Progress progress = new Progress(spec.commandLine().getErr())) {
      StagedFile picture = outputs.stage("--output", output);
      results = compute(study, progress);
      progress.show("drawing " + output);
      String svg = DemoPicture.of(study, results.preferred());
      picture.write(out -> out.write(svg.getBytes(UTF_8)));
      outputs.commit();
    }
    PrintWriter out = spec.commandLine().getOut();
    introduce(out, study);
    tabulateMovements(out, results.preferred());
    tabulateBackends(out, study, results);
    out.println();
    out.println("The same digits, before and after, as a picture: " + output);
    return 0;
  }

  private static Results compute(CompanionStudy study, Progress progress) {
    Results results = new Results();
    VbnBackends found = BackendOption.find();
    for (BackendCandidate candidate : found.list()) {
      Availability availability = candidate.availability();
      if (!availability.available()) {
        results.unavailable.put(candidate.name(), availability.description());
        continue;
      }
      progress.show("normalising with " + candidate.name());
      VbnBackend<HostTensor> backend;
      try {
        backend = found.open(candidate.name(), HostTensor.class);
      } catch (BackendUnavailableException e) {
        results.unavailable.put(candidate.name(), String.valueOf(e.getMessage()));
        continue;
      }
      try (backend) {
        results.single.put(
            candidate.name(),
            new Computed(
                study.normalize(backend, DType.FLOAT32), ErrorLine.of(availability.description())));
        if (results.exact == null && backend.capabilities().contains(Capability.FLOAT64)) {
          results.exact = study.normalize(backend, DType.FLOAT64);
          results.exactBackend = candidate.name();
        }
      }
    }
    if (results.single.isEmpty()) {
      // Its message says what was found and why none of it serves.
      found.open(HostTensor.class).close();
      throw new IllegalStateException("no backend could be opened");
    }
    return results;
  }

  private static void introduce(PrintWriter out, CompanionStudy study) {
    Table.paragraph(
        out,
        "Batch normalization (batch norm) normalises an example by the mean and variance of the"
            + " batch it happens to be in, so its output depends on its companions. Virtual batch"
            + " normalization (VBN) uses the statistics of a fixed reference batch, mixed with a"
            + " little of the live batch or with nothing of it.");
    Table.paragraph(
        out,
        "Here: " + study.digits().count() + " handwritten digits of 8x8 pixels, each pixel a"
            + " feature. The reference batch is the first " + CompanionStudy.REFERENCE
            + " of them. One zero, which is not among those, is then normalised in three live"
            + " batches:");
    for (LiveBatch batch : study.batches()) {
      out.printf(Locale.ROOT, "  %-12s its companions: %s%n", batch.label(), batch.companions());
    }
    out.println();
  }

  private static void tabulateMovements(PrintWriter out, Outputs outputs) {
    Table.paragraph(
        out,
        "How far does the output of that zero move when only its companions change? (In standard"
            + " deviations. The first two columns are root mean squares over the 64 pixels, the"
            + " third is the pixel that moves most.)");
    Table table = new Table(
        "METHOD", "ZEROS->MIXED", "MIXED->ALONE", "LARGEST", "DEPENDS ON ITS COMPANIONS?");
    double plain = outputs.largestMovement(0);
    for (int method = 0; method < Method.ALL.size(); method++) {
      double largest = outputs.largestMovement(method);
      table.row(
          Method.ALL.get(method).label(),
          number(outputs.movement(method, SAME, MIXED)),
          number(outputs.movement(method, MIXED, ALONE)),
          number(largest),
          largest == 0
              ? "no: the same bits in every company"
              : method == 0
                  ? "yes: alone, it is erased altogether"
                  : Math.round(100 * largest / plain) + "% as much as batch norm");
    }
    table.print(out);
    out.println();
  }

  private static void tabulateBackends(PrintWriter out, CompanionStudy study, Results results) {
    Outputs exact = results.exact;
    Outputs expected = exact == null ? results.preferred() : exact;
    String measure = exact == null
        ? "those of the first"
        : "the float64 results of '" + results.exactBackend + "' rounded to float32";
    Table.paragraph(
        out,
        "Do the backends agree? Worst difference of their float32 outputs, all methods and live"
            + " batches, from " + measure + " (1 ulp: the step from one float32 number to the next,"
            + " at the size of the expected value or at 1, whichever is larger).");
    Table table = new Table("BACKEND", "WORST DIFFERENCE", "NOTE");
    String note = "computed the table above and the picture";
    for (Map.Entry<String, Computed> backend : results.single.entrySet()) {
      String worst = worstDifference(study, backend.getValue().outputs(), expected);
      table.row(backend.getKey(), worst + " ulp", note);
      note = "";
      table.note(backend.getValue().device());
    }
    results.unavailable.forEach(
        (name, reason) -> table.row(name, "-", "unavailable: " + ErrorLine.of(reason)));
    table.print(out);
  }

  private static String worstDifference(CompanionStudy study, Outputs actual, Outputs expected) {
    double worst = 0;
    for (int method = 0; method < Method.ALL.size(); method++) {
      for (int batch = 0; batch < study.batches().size(); batch++) {
        var actualTensor = actual.tensors().get(method).get(batch);
        var expectedTensor = expected.tensors().get(method).get(batch);
        for (int i = 0; i < expectedTensor.size(); i++) {
          float value = (float) expectedTensor.get(i);
          double difference = Math.abs(actualTensor.get(i) - value);
          // Math.max keeps NaN.
          worst = Math.max(worst, difference / Math.ulp(Math.max(1, Math.abs(value))));
        }
      }
    }
    return String.format(Locale.ROOT, "%.1f", worst);
  }

  private static String number(double value) {
    return value == 0 ? "0" : String.format(Locale.ROOT, "%.3f", value);
  }
}
