package dev.vbn.cuda;

import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.BackendFailedException;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The emulator finds what can go wrong in a kernel: faults put into the source, one at a time, either
 * stop the kernel with a report or change its results, in some order of the threads.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
@TestInstance(Lifecycle.PER_CLASS)
class KernelFaultsTest {
  private static final Path PAGE = Path.of("..", "docs", "GPU.md");
  private static final Path SOURCE = Path.of("src/main/cuda/vbn.cu");

  /** Results that differ by less are not told from rounding. */
  private static final double ROUNDING = 1e-5;

  private static final long[] SEEDS = {1, 2, 3};

  /** What a block has of shared memory next to a tile. */
  private static final int BESIDE_A_TILE = 16 << 10;

  /** How a fault is noticed. */
  enum Found {
    STOPPED("the kernel is stopped, with a report"),
    RESULTS("the results are wrong");

    final String words;

    Found(String words) {
      this.words = words;
    }
  }

  /**
   * A change of the source.
   *
   * @param name what is wrong
   * @param before what stands before {@code good}, and makes it unique
   * @param good a statement, which ends in a semicolon, or an expression
   * @param bad what takes its place
   * @param found how it is noticed
   */
  record Fault(String name, String before, String good, String bad, Found found) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static final List<Fault> FAULTS = List.of(
      new Fault(
          "no barrier before the sums of a team are added up",
          "k < 4; k++) {\n    shared[k][at] = own[k];\n  }\n  ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "no barrier between the steps of adding up a team",
          "shared[k][at] += shared[k][at + step];\n      }\n    }\n    ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "no barrier before the units of a group are merged",
          "shared[threadIdx.x] = own;\n  ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "a barrier that only some threads reach",
          "shared[threadIdx.x] = merge(shared[threadIdx.x], shared[threadIdx.x + step], centered);\n    }\n    ",
          "__syncthreads();",
          "if (member < step) { __syncthreads(); }",
          Found.STOPPED),
      new Fault(
          "threads that return before a barrier",
          "k < 4; k++) {\n    ",
          "shared[k][at] = own[k];",
          "if (!real) { return; } shared[k][at] = own[k];",
          Found.STOPPED),
      new Fault(
          "one element too many is read",
          "for (; ",
          "i < count && sums.count < wanted",
          "i <= count && sums.count < wanted",
          Found.RESULTS),
      new Fault(
          "elements beside the output are written",
          "",
          "output[start] = E::store((A) 0);",
          "output[start] = output[start + features * after] = E::store((A) 0);",
          Found.STOPPED),
      new Fault(
          "poison, as unset memory holds it, is copied behind an allocation",
          "",
          "writeGradients<P>(total, c, dgamma, dbeta, dMean, dVariance);",
          "writeGradients<P>(total, c, dgamma, dbeta, dMean, dVariance);"
              + " *(unsigned*) (dgamma + features) = ~0u;",
          Found.STOPPED),
      new Fault(
          "shared memory that is not always written",
          "move(n, near - shift, centered ? 0 : near - shift, own);\n  }\n  for (int k = 0; ",
          "k < 4",
          "k < (own[1] != 0 ? 4 : 1)",
          Found.RESULTS),
      new Fault(
          "a block that reads what another block writes",
          "",
          "to[0] = count;",
          "to[0] = blockIdx.x == 0 ? count : count + 0 * to[-5];",
          Found.RESULTS),
      new Fault(
          "only the first unit of a group counts", "", "u < unitsPerGroup", "u < 1", Found.RESULTS),
      new Fault(
          "every group normalised as the first",
          "place.take(&",
          "lines[group * features + c]",
          "lines[c]",
          Found.RESULTS),
      new Fault(
          "the last row of a block left out", "", "row < end", "row + 1 < end", Found.RESULTS),
      new Fault(
          "no barrier before the sums of a column are added up",
          "shared[k][at] = own[i][k];\n    }\n    ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "the rest of the rows of a column left out",
          "for (long long row = member; ",
          "row < wanted",
          "row + team < wanted",
          Found.RESULTS),
      new Fault(
          "squares of a column that overflow 32 bits",
          "trusted[i] = !far && ",
          "added[i].isInRange(live)",
          "true",
          Found.RESULTS),
      new Fault(
          "all features of a place on the line of the first",
          "line[",
          "LINES == 1 ? 0 : i",
          "0",
          Found.RESULTS),
      new Fault(
          "squares not centred",
          "",
          "held[1] = multiplyAdd(d, d, held[1]);",
          "held[1] = multiplyAdd(x, x, held[1]);",
          Found.RESULTS),
      new Fault(
          "squares that overflow 32 bits",
          "trusted = !NARROW || ",
          "sums.isInRange(live)",
          "true",
          Found.RESULTS),
      new Fault(
          "the line of a group in 32 bits, which overflow", "if (", "!fit", "false", Found.RESULTS),
      new Fault(
          "a mean rounded to 32 bits",
          "r.narrow.offset = (float) ",
          "fma(-slope, center - (double) r.narrow.center, offset)",
          "offset",
          Found.RESULTS),
      new Fault(
          "a gradient asked around another center than it is summed around",
          "double center = ",
          "centers == nullptr ? live.mean : centers[c]",
          "live.mean",
          Found.RESULTS),
      new Fault(
          "live statistics that leak in at weight 0",
          "r.difference = 0;\n    ",
          "r.mean = referenceMean[c];",
          "r.mean = live.mean;",
          Found.RESULTS),
      new Fault(
          "weight 0 computed like any other, though 0 * NaN is NaN",
          "Mixture r;\n  if (",
          "w == 0",
          "w < 0",
          Found.RESULTS),
      new Fault("a mask inverted", "if (", "of[i] != 0", "of[i] == 0", Found.RESULTS),
      new Fault(
          "the mask of one example for all",
          "counts[",
          "row * after + (lane - (long long) c * after)",
          "lane - (long long) c * after",
          Found.RESULTS),
      new Fault(
          "lengths along the wrong axis",
          "of[i] = ",
          "(first + i) / inner % along < lengths[example]",
          "(first + i) % inner < lengths[example]",
          Found.RESULTS),
      new Fault(
          "a mask read behind its end",
          "int length = ",
          "after - begin < segment ? after - begin : segment",
          "after - begin < segment ? after - begin + (lengths == nullptr) : segment",
          Found.RESULTS),
      new Fault(
          "holes of a mask counted",
          "if (",
          "what.count < what.end - what.first",
          "false",
          Found.RESULTS),
      new Fault(
          "what does not count counted in the number of elements",
          "",
          "count += item[i].count;",
          "count += length((int) ((place + i) % segments));",
          Found.RESULTS),
      new Fault(
          "an example of which nothing counts in the gradient of gamma",
          "bool any = ",
          "live.count > 0",
          "true",
          Found.RESULTS),
      new Fault(
          "no barrier before the sums of a second gradient are added up",
          "k < SUMS; k++) {\n    shared[k][threadIdx.x] = own[k];\n  }\n  ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "a second gradient around the mean of the first group",
          "double m = ",
          "mean[group * features + c]",
          "mean[c]",
          Found.RESULTS),
      new Fault(
          "one sum of a second gradient taken for another",
          "",
          "own[3] += v * xh;",
          "own[3] += dy * xh;",
          Found.RESULTS),
      new Fault(
          "a second gradient without the number of elements",
          "alone ? 0 : ",
          "weight / n",
          "weight",
          Found.RESULTS),
      new Fault(
          "the end of a second gradient left out",
          "alone ? ofDbeta : ofDbeta - k * sumV;\n  for (long long i = member; ",
          "i < elements",
          "i + team < elements",
          Found.RESULTS),
      new Fault(
          "a second gradient written where nothing counts",
          "",
          "ofX[at] = ofUpstream[at] = E::store(0.0);",
          "ofX[at] = E::store(0.0);",
          Found.RESULTS),
      new Fault(
          "no barrier before a tile is added up",
          "held + i * apart, vector);\n  }\n  ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "no barrier before the sums of a tile are mixed",
          "live, shared.threads);\n  ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "no barrier before a tile is written",
          "if (output != nullptr) {\n    ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "the last row of a tile left out",
          "place.take(lines + f);\n    for (int row = threadIdx.x / tile.width; ",
          "row < tile.rows",
          "row + 1 < tile.rows",
          Found.RESULTS),
      new Fault(
          "the last of several features in a place of a tile left out",
          "tile.after / V;\n  for (int lane = threadIdx.x & (tile.width - 1); ",
          "lane < places",
          "lane < places - (LINES > 1)",
          Found.RESULTS),
      new Fault(
          "the last tile of a group one feature short",
          "r.features = features - first < strip ? ",
          "features - first",
          "(features - first) / 2 + 1",
          Found.RESULTS),
      new Fault(
          "a tile longer than the shared memory that was asked for",
          "typename E::Stored* at = to + ",
          "f * tile.pitch",
          "(f + 1) * tile.pitch",
          Found.STOPPED),
      new Fault(
          "a gradient of one group of several taken for all",
          "gradients[at * GRADIENTS + k] = ",
          "own[k]",
          "at == c ? own[k] : 0",
          Found.RESULTS),
      new Fault(
          "no fence before a block counts itself",
          "unsigned* counter, unsigned most) {\n  ",
          "__threadfence();",
          ";",
          Found.STOPPED),
      new Fault(
          "the last block but one taken for the last",
          ") == ",
          "(unsigned) blocks - 1",
          "(unsigned) blocks - 2",
          Found.RESULTS),
      new Fault(
          "a counter of blocks that is not at 0 again",
          "unitsPerGroup, ",
          "unitsPerGroup - 1",
          "unitsPerGroup",
          Found.STOPPED),
      new Fault(
          "a part written before its tile is mixed",
          "WAIT_FOR(counters + part.ofAll, ",
          "parts.ofTile + 1u",
          "(unsigned) parts.ofTile",
          Found.RESULTS),
      new Fault(
          "a block that waits for one more than there are",
          "const Lines* lines, const Parts& parts, int vector, TileSums& shared) {\n  if (",
          "threadIdx.x == 0",
          "threadIdx.x == 0 && (WAIT_FOR(counters + part.ofAll, 2 * parts.ofTile + 1), true)",
          Found.STOPPED),
      new Fault(
          "a block that counts before all its threads have written their sums",
          "__shared__ int last;\n  ",
          "__syncthreads();",
          ";",
          Found.RESULTS),
      new Fault(
          "a counter of parts that is not at 0 again",
          "countBlock(&counters[part.ofAll], ",
          "parts.most()",
          "parts.most() + 1",
          Found.STOPPED),
      new Fault(
          "one room for two parts",
          "int room = (int) ",
          "(toAdd / parts.blocks % parts.held)",
          "0",
          Found.RESULTS),
      new Fault(
          "the rows behind the last whole part of a tile left out",
          "r.tile.rows = (int) (",
          "groupRows - row < parts.rows ? groupRows - row : parts.rows",
          "groupRows - row < parts.rows ? 0 : parts.rows",
          Found.RESULTS),
      new Fault(
          "the positions behind the last whole part of a row left out",
          "r.tile.after = ",
          "after - position < parts.positions ? after - position : parts.positions",
          "after - position < parts.positions ? after - position - 1 : parts.positions",
          Found.RESULTS));

  private static final Path DIRECTORY =
      Path.of(System.getProperty("vbn.test.emulator")).resolveSibling("emulator-with-faults");

  private Emulator.Controls controls;
  private List<double[]> expected;

  static Stream<Fault> faults() {
    return FAULTS.stream();
  }

  @BeforeAll
  void build() throws IOException {
    Emulator.Controls sound = Emulator.controls(); // skips where there is no compiler
    expected = results(sound);
    sound.reset();
    Path source = DIRECTORY.resolve("vbn.cu");
    Files.createDirectories(DIRECTORY);
    Files.writeString(source, withFaults(Files.readString(SOURCE)));
    controls = Emulator.controls(source, DIRECTORY);
  }

  @AfterAll
  void leaveFresh() {
    if (controls != null) {
      controls.reset();
    }
    Emulator.install();
  }

  /** The source with all faults in it, each behind a switch. */
  private static String withFaults(String source) {
    String result = source;
    for (int i = 0; i < FAULTS.size(); i++) {
      Fault fault = FAULTS.get(i);
      String place = fault.before() + fault.good();
      assertEquals(2, source.split(Pattern.quote(place), -1).length, "places of: " + fault);
      assertTrue(result.contains(place), () -> "another fault stands in the way of: " + fault);
      String on = "emulated::fault == " + (i + 1);
      String both = fault.good().endsWith(";")
          ? "if (" + on + ") { " + fault.bad() + " } else { " + fault.good() + " }"
          : "(" + on + " ? (" + fault.bad() + ") : (" + fault.good() + "))";
      result = result.replace(place, fault.before() + both);
    }
    return result;
  }

  @Test
  void withoutAFaultNothingIsFound() {
    for (long seed : SEEDS) {
      controls.reset();
      controls.seed(seed);
      List<double[]> actual = results(controls);
      for (int i = 0; i < expected.size(); i++) {
        assertArrayEquals(expected.get(i), actual.get(i), "result " + i + ", seed " + seed);
      }
    }
  }

  @Test
  void thePageListsThem() throws IOException {
    String start = "| Fault in a kernel | How it is found |\n|---|---|\n";
    String table = FAULTS.stream()
        .map(fault -> "| " + fault.name + " | " + fault.found.words + " |\n")
        .collect(joining());
    String page = Files.readString(PAGE);
    int from = page.indexOf(start) + start.length();
    assertEquals(table, page.substring(from, page.indexOf("\n\n", from) + 1), "table of " + PAGE);
  }

  @ParameterizedTest
  @MethodSource("faults")
  void isFound(Fault fault) {
    for (long seed : SEEDS) {
      controls.reset();
      controls.seed(seed);
      controls.fault(FAULTS.indexOf(fault) + 1);
      try {
        if (differ(results(controls))) {
          assertEquals(fault.found, Found.RESULTS, "how it was found");
          return;
        }
      } catch (BackendFailedException e) {
        assertInstanceOf(CudaException.class, e.getCause());
        assertEquals(fault.found, Found.STOPPED, e::getMessage);
        return;
      }
    }
    fail("the results are right with: " + fault);
  }

  private boolean differ(List<double[]> actual) {
    return IntStream.range(0, expected.size())
        .anyMatch(i -> differ(expected.get(i), actual.get(i)));
  }

  private static boolean differ(double[] expected, double[] actual) {
    double largest = 0;
    for (double value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    for (int i = 0; i < expected.length; i++) {
      if (!(Math.abs(actual[i] - expected[i]) <= ROUNDING * largest)) {
        return true;
      }
    }
    return false;
  }

  /** All that the kernels compute, on shapes that take their different ways. */
  private static List<double[]> results(Emulator.Controls emulator) {
    List<double[]> results = new ArrayList<>();
    emulator.device(8, BESIDE_A_TILE + 4096);
    try (VbnBackend<CudaTensor> backend = Emulator.open("together")) {
      addResults(backend, Variant.BATCH, results, 40, 3, 33); // parts of a group are some rows
      addResults(backend, Variant.BATCH, results, 300, 12, 1); // of features
      addResults(backend, Variant.BATCH, results, 2, 2, 2000); // or some positions of one
      addResults(backend, Variant.PER_EXAMPLE, results, 2, 2, 2000);
    }
    emulator.device(2, 64 << 10);
    try (VbnBackend<CudaTensor> backend = Emulator.open("one")) {
      for (Variant variant : List.of(Variant.POOLED, Variant.PER_EXAMPLE)) {
        addResults(backend, variant, results, 5, 3, 33);
        addResults(backend, variant, results, 4, 6, 64); // by vectors
        addResults(backend, variant, results, 70, 12, 1); // of features
      }
      addResults(backend, Variant.REFERENCE_ONLY, results, 4, 3, 33);
    }
    try (VbnBackend<CudaTensor> backend = Emulator.open("two")) {
      for (Variant variant : List.of(Variant.BATCH, Variant.PER_EXAMPLE)) {
        addResults(backend, variant, results, 5, 2, 8192); // several units of a group
        addResults(backend, variant, results, 4, 3, 33); // runs that no vector fits
        addResults(backend, variant, results, 700, 3, 1); // short runs, many rows
        addResults(backend, variant, results, 1501, 8, 1); // columns
      }
      addResults(backend, Variant.REFERENCE_ONLY, results, 4, 3, 33); // weight 0
      for (Variant variant : List.of(Variant.POOLED, Variant.PER_EXAMPLE)) {
        addResults(backend, variant, Mask.lengths(30, 0, 33, 7), results, 4, 3, 33);
        addResults(backend, variant, Mask.lengths(9000, 1), results, 2, 2, 9000); // two segments
        addResults(backend, variant, scattered(4, 33), results, 4, 3, 33);
      }
      for (Values values : Values.values()) {
        addResults(backend, Variant.BATCH, values, null, results, 2, 2, 8192);
        addResults(backend, Variant.BATCH, values, null, results, 300, 4, 1);
      }
    }
    return results;
  }

  /** What 32 bits find hard. */
  enum Values {
    ORDINARY {
      @Override
      double at(int i, double z) {
        return 3 + z;
      }
    },
    FAR_FROM_0 {
      @Override
      double at(int i, double z) {
        return 0x1p20 + z;
      }
    },
    LARGE {
      @Override
      double at(int i, double z) {
        return 1e37 * z;
      }
    };

    /** @param z normally distributed */
    abstract double at(int i, double z);
  }

  private static void addResults(
      VbnBackend<CudaTensor> backend, Variant variant, List<double[]> results, int... shape) {
    addResults(backend, variant, Values.ORDINARY, null, results, shape);
  }

  private static void addResults(
      VbnBackend<CudaTensor> backend,
      Variant variant,
      Mask mask,
      List<double[]> results,
      int... shape) {
    addResults(backend, variant, Values.ORDINARY, mask, results, shape);
  }

  /** Two of three positions. */
  private static Mask scattered(int examples, int positions) {
    boolean[] counts = new boolean[examples * positions];
    for (int i = 0; i < counts.length; i++) {
      counts[i] = i % 3 != 1;
    }
    return Mask.of(counts, examples, positions);
  }

  private static void addResults(
      VbnBackend<CudaTensor> backend,
      Variant variant,
      Values values,
      @Nullable Mask mask,
      List<double[]> results,
      int... shape) {
    VbnConfig config = VbnConfig.of(shape[1]).withVariant(variant);
    try (VirtualBatchNorm<CudaTensor> unmasked = VirtualBatchNorm.of(backend, config);
        CudaTensor reference = random(backend, 1, values, shape);
        CudaTensor x = random(backend, 2, values, shape);
        CudaTensor upstream = random(backend, 3, Values.ORDINARY, shape);
        CudaTensor second = random(backend, 4, Values.ORDINARY, shape)) {
      VirtualBatchNorm<CudaTensor> layer = mask == null ? unmasked : unmasked.withMask(mask);
      addResults(backend, layer, reference, x, upstream, second, results);
    }
  }

  private static void addResults(
      VbnBackend<CudaTensor> backend,
      VirtualBatchNorm<CudaTensor> layer,
      CudaTensor reference,
      CudaTensor x,
      CudaTensor upstream,
      CudaTensor second,
      List<double[]> results) {
    try (ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(reference);
        Output<CudaTensor> live = layer.forward(x, statistics);
        Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream);
        SecondGradients<CudaTensor> twice = layer.doubleBackward(
            x, statistics, upstream, new GradientUpstream<>(second, null, null))) {
      for (CudaTensor tensor : List.of(
          statistics.mean(),
          statistics.variance(),
          live.output(),
          gradients.dx(),
          gradients.dgamma(),
          gradients.dbeta(),
          twice.x(),
          twice.upstream(),
          twice.gamma())) {
        results.add(backend.toHost(tensor).toDoubles());
      }
    }
  }

  private static CudaTensor random(
      VbnBackend<CudaTensor> backend, long seed, Values kind, int... shape) {
    Random random = new Random(seed);
    float[] values = new float[shape[0] * shape[1] * shape[2]];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) kind.at(i, random.nextGaussian());
    }
    return backend.fromHost(HostTensor.of(values, shape[0], shape[1], shape[2]), DType.FLOAT32);
  }
}
