package dev.vbn.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.vbn.Variant;
import dev.vbn.VbnBackends;
import dev.vbn.bench.Comparison.Series;
import dev.vbn.cli.BackendOption;
import dev.vbn.cli.BadInputException;
import dev.vbn.cli.Progress;
import dev.vbn.cli.StagedOutputs;
import dev.vbn.cli.report.Environment;
import dev.vbn.state.StagedFiles.StagedFile;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Measures the backends. */
@Command(
    name = "bench",
    description = {
      "Measures how fast the backends are, next to a copy of the same bytes, virtual batch"
          + " normalization written op by op on libtorch and on ND4J, libtorch's batch norm, code in"
          + " C and compiled PyTorch: in one run, all with the same number of threads, first one and"
          + " then more. What computes something wrong fails the run.",
      "It takes some twenty-five minutes, with --quick two. Let nothing else run meanwhile."
    })
@SuppressWarnings("NullAway.Init") // picocli sets them
final class BenchCommand implements Callable<Integer> {
  private static final String REPORT = "--report";
  private static final Duration QUICK = Duration.ofSeconds(95); // and some for starts and ends
  private static final Duration FULL = Duration.ofMinutes(25);

  /** The first is the one to be measured again: the smallest, of which a call is little work. */
  private static final List<Shape> QUICK_SHAPES = List.of(
      Shape.of(8, 64), Shape.of(32, 32, 128), Shape.of(100, 1024, 8), Shape.of(100, 64, 1024));

  private static final List<Shape> SHAPES = List.of(
      Shape.of(8, 64),
      Shape.of(8, 16, 256),
      Shape.of(32, 32, 128),
      Shape.of(100, 1024, 8),
      Shape.of(100, 64, 1024),
      Shape.of(64, 16, 8192),
      Shape.of(4096, 512),
      Shape.of(64, 128, 128, 16).withAxis(3),
      Shape.of(32, 64, 32, 16).withAxis(2),
      Shape.of(100, 64, 1024).wide());

  private static final List<Shape> MASKED = List.of(
      Shape.of(32, 32, 128), Shape.of(100, 64, 1024), Shape.of(64, 128, 128, 16).withAxis(3));

  /** From 4 KB to 1 GB, each eight times the one before. */
  private static final List<Shape> SIZES = List.of(
      Shape.of(4, 16, 16),
      Shape.of(8, 16, 64),
      Shape.of(16, 16, 256),
      Shape.of(32, 16, 1024),
      Shape.of(64, 16, 4096),
      Shape.of(128, 16, 16384),
      Shape.of(256, 16, 65536));

  @Spec
  private CommandSpec spec;

  @Option(
      names = "--backend",
      paramLabel = "NAME",
      description =
          "Backend to measure; may be repeated. Default: every one that can be used here.")
  private List<String> backends = List.of();

  @Option(
      names = "--shape",
      paramLabel = "N,C,P",
      converter = ShapeConverter.class,
      description =
          "Shape to measure: examples, features, positions; behind them @3 for features along axis 3,"
              + " and :float64 for 64 bits. May be repeated. Given any, the series of sizes is left"
              + " out. Default: ten, with --quick four, the first 8,64.")
  private List<Shape> shapes = List.of();

  @Option(
      names = "--quick",
      description = "Ends in two minutes: four shapes, one thread, and no series of sizes.")
  private boolean quick;

  @Option(
      names = REPORT,
      paramLabel = "DIR",
      description =
          "Directory that takes bench.html with charts, the same as bench.json, and the tables as"
              + " bench.md; made if it is missing.")
  private @Nullable Path directory;

  /** Reads {@link Shape}s. */
  static final class ShapeConverter implements ITypeConverter<Shape> {
    @Override
    public Shape convert(String text) {
      return Shape.parse(text);
    }
  }

  @Override
  public Integer call() throws IOException {
    VbnBackends found = BackendOption.find();
    backends = backends.stream().distinct().toList();
    backends.forEach(name -> BackendOption.named(found, name));
    try (StagedOutputs outputs = new StagedOutputs()) {
      StagedFile html = null;
      StagedFile json = null;
      StagedFile markdown = null;
      if (directory != null) {
        outputs.makeDirectory(REPORT, directory);
        html = outputs.stage(REPORT, directory.resolve("bench.html"));
        json = outputs.stage(REPORT, directory.resolve("bench.json"));
        markdown = outputs.stage(REPORT, directory.resolve("bench.md"));
      }
      BenchReport report = measure();
      PrintWriter out = spec.commandLine().getOut();
      new TextReport(report).print(out);
      if (html != null && json != null && markdown != null) {
        byte[] page = HtmlBenchReport.of(report).getBytes(UTF_8);
        html.write(stream -> stream.write(page));
        byte[] numbers = JsonBenchReport.of(report).getBytes(UTF_8);
        json.write(stream -> stream.write(numbers));
        byte[] tables = MarkdownReport.of(report).getBytes(UTF_8);
        markdown.write(stream -> stream.write(tables));
        outputs.commit();
      }
      return report.succeeded() ? 0 : 1;
    }
  }

  private BenchReport measure() throws IOException {
    Instant started = Instant.now();
    long start = System.nanoTime();
    List<String> notMeasured = new ArrayList<>();
    List<Comparison> comparisons = comparisons(notMeasured);
    List<Integer> threads =
        quick ? List.of(1) : threads(Runtime.getRuntime().availableProcessors());
    long budget = (quick ? QUICK : FULL).toMillis();
    try (Progress progress = new Progress(spec.commandLine().getErr())) {
      ForkProcess forks = new ForkProcess(backends, progress);
      for (int i = 0; i < threads.size(); i++) {
        boolean least = i == 0;
        boolean all = i == threads.size() - 1;
        long elapsed = (System.nanoTime() - start) / 1_000_000;
        long share = (budget - elapsed) / (threads.size() - i);
        forks.run(
            threads.get(i),
            comparisons.stream()
                .filter(comparison -> switch (comparison.series()) {
                  case VARIANTS -> all;
                  case MASKS, AGAIN -> least;
                  case SHAPES, SIZES -> true;
                })
                .toList(),
            share);
      }
      notMeasured.addAll(forks.notMeasured());
      return new BenchReport(
          Environment.here(),
          Machine.processor(),
          started,
          Duration.ofNanos(System.nanoTime() - start),
          "./vbn"
              + spec.commandLine().getParseResult().originalArgs().stream()
                  .map(argument -> " " + argument)
                  .reduce("", String::concat),
          ForkProcess.options(threads.get(threads.size() - 1), comparisons),
          forks.contenders(),
          forks.measurements(),
          notMeasured);
    }
  }

  /** One, then doubled, then all. */
  static List<Integer> threads(int processors) {
    List<Integer> threads = new ArrayList<>();
    for (int count = 1; count < processors; count *= 2) {
      threads.add(count);
    }
    threads.add(processors);
    return threads;
  }

  private List<Comparison> comparisons(List<String> notMeasured) {
    List<Comparison> comparisons = new ArrayList<>();
    List<Shape> chosen =
        !shapes.isEmpty() ? shapes.stream().distinct().toList() : quick ? QUICK_SHAPES : SHAPES;
    for (Shape shape : chosen) {
      for (Pass pass : Pass.values()) {
        Comparison comparison = Comparison.of(Series.SHAPES, shape, pass);
        String lacking = lacking(comparison);
        if (lacking != null) {
          throw new BadInputException(
              "--shape " + shape + ": " + lacking + "; expected a shape that fits");
        }
        comparisons.add(comparison);
      }
    }
    Shape largest =
        chosen.stream().max(Comparator.comparingLong(Shape::elements)).orElseThrow();
    for (Pass pass : List.of(Pass.FORWARD, Pass.BACKWARD)) {
      if (!quick) {
        for (Variant variant : Variant.values()) {
          if (variant != Variant.LIVE_BATCH) {
            comparisons.add(new Comparison(Series.VARIANTS, largest, variant, Masking.NONE, pass));
          }
        }
      }
      for (Shape shape : chosen) {
        // A mask is of positions, of which there must be some for lengths.
        for (Masking masking : List.of(Masking.LENGTHS, Masking.POSITIONS)) {
          if (shape.lengths().size() > 2 && (!shapes.isEmpty() || MASKED.contains(shape))) {
            comparisons.add(new Comparison(Series.MASKS, shape, Variant.LIVE_BATCH, masking, pass));
          }
        }
      }
    }
    if (shapes.isEmpty() && !quick) {
      for (Shape shape : SIZES) {
        Comparison comparison = Comparison.of(Series.SIZES, shape, Pass.FORWARD);
        String lacking = lacking(comparison);
        if (lacking == null) {
          comparisons.add(comparison);
        } else {
          notMeasured.add("the size " + Units.bytes(shape.bytes()) + ": " + lacking);
        }
      }
    }
    for (Pass pass : List.of(Pass.FORWARD, Pass.BACKWARD)) {
      comparisons.add(Comparison.of(Series.AGAIN, chosen.get(0), pass));
    }
    return comparisons;
  }

  /** What memory a comparison lacks; null if it has enough. */
  private static @Nullable String lacking(Comparison comparison) {
    long needed = comparison.heapBytes() + comparison.nativeBytes();
    OptionalLong available = Machine.availableMemory();
    return available.isPresent() && available.getAsLong() < needed
        ? "needs " + Units.bytes(needed) + " of memory and " + Units.bytes(available.getAsLong())
            + " are free"
        : null;
  }
}
