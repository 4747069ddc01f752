package dev.vbn.cuda;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.function.IntConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Times forward and backward on a device by each plan, by the device's clock, next to a copy of the
 * same tensor on the device: all are bound by the bytes that they move. What is timed is checked
 * against 64 bits.
 *
 * <pre>
 *   java -cp vbn-api.jar:vbn-cuda.jar [-Dvbn.benchmark.json=FILE] dev.vbn.cuda.DeviceBenchmark [BATCH ...]
 * </pre>
 *
 * A batch is {@code [TYPE:]N,C,L}, or {@code [TYPE:]N,L,C:last} with its features last, of float32 unless a
 * type is named.
 */
final class DeviceBenchmark {
  private static final List<String> USUAL = List.of(
      "256,64,16384",
      "64,16,8192",
      "100,64,1024",
      "100,1024,8",
      "8,64",
      "10000000,1",
      "64,128,128,16:last",
      "bfloat16:256,64,16384",
      "bfloat16:64,128,128,16:last",
      "bfloat16:100,1024,8",
      "float16:64,16,8192",
      "float64:64,16,8192");
  private static final Pattern BATCH =
      Pattern.compile("(?:([a-z]+\\d+):)?([1-9]\\d{0,9}(?:,[1-9]\\d{0,9}){1,4})(:last)?");
  private static final int WARM_UPS = 2;
  private static final int SAMPLES = 11;

  /** Batches that are taken in turn, so that none is still in the cache from its last turn. */
  private static final int MOST_SETS = 64;

  private static final int MOST_ROTATED = 1 << 30;
  private static final int L2_CACHE = 38; // CUdevice_attribute
  private static final int BLOCK = 1 << 20;
  private static final int COMPARED = 64;

  /** Where results go as JSON, and next to it as HTML. */
  private static final String JSON_PROPERTY = "vbn.benchmark.json";

  /** What to measure. */
  private record Batch(String name, DType dtype, int featureAxis, long... shape) {
    static Batch of(String name) {
      Matcher matcher = BATCH.matcher(name);
      if (!matcher.matches()) {
        throw new IllegalArgumentException("batch is '" + name
            + "'; expected [TYPE:]N,C,L or [TYPE:]N,L,C:last, such as bfloat16:64,16,8192");
      }
      long[] shape = Arrays.stream(matcher.group(2).split(",", -1))
          .mapToLong(Long::parseLong)
          .toArray();
      String type = matcher.group(1) == null ? "float32" : matcher.group(1);
      DType dtype = Arrays.stream(DType.values())
          .filter(each -> each.name().toLowerCase(Locale.ROOT).equals(type))
          .findFirst()
          .orElseThrow(() -> new IllegalArgumentException("type is '" + type + "'; expected one of "
              + Arrays.toString(DType.values()).toLowerCase(Locale.ROOT)));
      return new Batch(name, dtype, matcher.group(3) == null ? 1 : shape.length - 1, shape);
    }

    long features() {
      return shape[featureAxis];
    }

    /** Positions after the feature axis. */
    long after() {
      return featureAxis == 1 ? Arrays.stream(shape).skip(2).reduce(1, Math::multiplyExact) : 1;
    }

    long size() {
      return Arrays.stream(shape).reduce(1, Math::multiplyExact);
    }
  }

  /** Microseconds of a call: of many in a row, and of one in an idle stream. */
  private record Times(double busy, double alone) {
    String json() {
      return String.format(Locale.ROOT, "{\"busy\": %.3f, \"alone\": %.3f}", busy, alone);
    }
  }

  private record Result(
      String batch,
      String plan,
      int sets,
      Times copy,
      Times forward,
      Times backward,
      boolean right) {
    String json() {
      return "{\"batch\": \"" + batch + "\", \"plan\": \"" + plan + "\", \"inTurn\": " + sets
          + ", \"copy\": " + copy.json() + ", \"forward\": " + forward.json() + ", \"backward\": "
          + backward.json() + ", \"right\": " + right + "}";
    }

    String row() {
      return String.format(
          Locale.ROOT,
          "<tr><td>%s<td>%s<td>%.1f<td>%.1f<td>%.1f<td>%.2f<td>%.2f<td>%.2f<td>%.2f<td>%s%n",
          batch,
          plan,
          copy.busy,
          forward.busy,
          backward.busy,
          forward.busy / copy.busy,
          backward.busy / copy.busy,
          forward.alone / copy.alone,
          backward.alone / copy.alone,
          right ? "right" : "WRONG");
    }
  }

  private final Batch batch;
  private final VbnBackend<CudaTensor> backend;
  private final StreamBackend device;
  private final int sets;

  private DeviceBenchmark(Batch batch, VbnBackend<CudaTensor> backend) {
    this.batch = batch;
    this.backend = backend;
    device = backend.unwrap(StreamBackend.class);
    long bytes = batch.size() * CudaTensor.elementBytes(batch.dtype);
    long rotated = Math.min(2L * device.attribute(L2_CACHE), MOST_ROTATED);
    sets = Math.clamp(Math.ceilDiv(rotated, bytes), 1, MOST_SETS);
  }

  /**
   * Prints ratios, then microseconds, of each batch: those named, or some that users have. Exits
   * with 2 if a name is not that of a batch, with 1 if there is no device or a result is wrong.
   */
  public static void main(String[] arguments) {
    List<Batch> batches;
    try {
      batches = (arguments.length == 0 ? USUAL : List.of(arguments))
          .stream().map(Batch::of).toList();
    } catch (IllegalArgumentException e) {
      exit(2, String.valueOf(e.getMessage()));
      return;
    }
    Availability availability = new CudaProvider().probe();
    if (!availability.available()) {
      exit(1, "no device to measure: " + availability.description());
      return;
    }
    System.out.println(availability.description() + "; median of " + SAMPLES + " after " + WARM_UPS
        + ", live-batch; busy: many calls in a row, alone: one in an idle stream");
    List<Result> results = new ArrayList<>();
    boolean right = true;
    for (Batch batch : batches) {
      for (String plan : List.of("one", "together", "two", "three")) {
        System.setProperty(Plan.PROPERTY, plan);
        try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
          right &= new DeviceBenchmark(batch, backend).measure(plan, results);
        } catch (RuntimeException e) { // one must not end the others
          right = false;
          System.out.println(batch.name + " by " + plan + ": FAILED " + e);
        }
        write(availability.description(), results);
      }
    }
    if (!right) {
      exit(1, "not all results are right");
    }
  }

  private static void write(String description, List<Result> results) {
    String file = System.getProperty(JSON_PROPERTY);
    if (file == null) {
      return;
    }
    String json = results.stream().map(Result::json).collect(Collectors.joining(",\n"));
    String rows = results.stream().map(Result::row).collect(Collectors.joining());
    try {
      Files.writeString(
          Path.of(file),
          "{\"device\": \"" + description.replace("\"", "'")
              + "\", \"unit\": \"microseconds\", \"results\": [\n" + json + "\n]}\n");
      Files.writeString(Path.of(file.replaceFirst("(\\.json)?$", ".html")), """
          <!DOCTYPE html>
          <html lang="en"><meta charset="utf-8"><title>VBN on CUDA</title>
          <style>td, th { padding: 0 1em; text-align: right } td:first-child { text-align: left }</style>
          <h1>VBN on CUDA</h1>
          <p>%s. Microseconds of a call among many, and times a copy of the batch, among many and alone.</p>
          <table>
          <tr><th>batch<th>plan<th>copy<th>forward<th>backward<th>forward/copy<th>backward/copy<th>alone<th>alone<th>results
          %s</table>
          """.formatted(
              description.replace("&", "&amp;").replace("<", "&lt;"), rows));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void exit(int status, String message) {
    System.err.println("benchmark: " + message);
    System.exit(status);
  }

  private boolean measure(String plan, List<Result> results) {
    VbnConfig config =
        VbnConfig.of(Math.toIntExact(batch.features())).withFeatureAxis(batch.featureAxis);
    double[] xs = block(1);
    double[] references = block(2);
    List<CudaTensor> x = tensors(xs);
    List<CudaTensor> upstream = tensors(references);
    List<CudaTensor> output = tensors(null);
    try (VirtualBatchNorm<CudaTensor> layer =
            VirtualBatchNorm.of(backend, config).initialized(batch.dtype, 3);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(upstream.get(0))) {
      Times copy = times(i -> device.copy(x.get(i), output.get(i)));
      Times backward = times(i -> {
        try (Gradients<CudaTensor> into =
            layer.backwardInto(output.get(i), x.get(i), statistics, upstream.get(i))) {
          into.dx(); // the supplied one
        }
      });
      Times forward = times(i -> {
        try (Output<CudaTensor> into = layer.forwardInto(output.get(i), x.get(i), statistics)) {
          into.output(); // the supplied one
        }
      });
      double error = error(layer, xs, references, output.get(0));
      boolean right = error <= tolerance();
      double bytes = 2e-3 * x.get(0).bytes();
      System.out.printf(
          Locale.ROOT,
          "%-28s %-8s times a copy: forward %.2f, backward %.2f (%.2f of the bytes it must move), alone %.2f and %.2f%n",
          batch.name,
          plan,
          forward.busy / copy.busy,
          backward.busy / copy.busy,
          backward.busy / (1.5 * copy.busy),
          forward.alone / copy.alone,
          backward.alone / copy.alone);
      System.out.printf(
          Locale.ROOT,
          "%-28s %-8s copy %.1f us (%.0f GB/s), forward %.1f us (%.0f %% of a copy), backward %.1f us; %d in turn; %s%n",
          "",
          "",
          copy.busy,
          bytes / copy.busy,
          forward.busy,
          100 * copy.busy / forward.busy,
          backward.busy,
          sets,
          right ? "results right" : "WRONG: off by " + error);
      results.add(new Result(batch.name, plan, sets, copy, forward, backward, right));
      return right;
    } finally {
      for (List<CudaTensor> each : List.of(x, upstream, output)) {
        each.forEach(CudaTensor::close);
      }
    }
  }

  /** By the device's clock. */
  private Times times(IntConsumer call) {
    double[] busy = new double[SAMPLES];
    double[] alone = new double[SAMPLES];
    for (int i = -WARM_UPS; i < SAMPLES; i++) {
      float all = device.milliseconds(() -> {
        for (int set = 0; set < sets; set++) {
          call.accept(set);
        }
      });
      float one = device.milliseconds(() -> call.accept(0));
      if (i >= 0) {
        busy[i] = 1e3 * all / sets;
        alone[i] = 1e3 * one;
      }
    }
    Arrays.sort(busy);
    Arrays.sort(alone);
    return new Times(busy[SAMPLES / 2], alone[SAMPLES / 2]);
  }

  /** The values that a tensor repeats: the time of a kernel does not depend on them. */
  private double[] block(long seed) {
    Random random = new Random(seed);
    double[] values = new double[(int) Math.min(BLOCK, batch.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = seed + random.nextGaussian();
    }
    return HostTensor.of(values, values.length).to(batch.dtype).toDoubles();
  }

  /** As many as are taken in turn, with these values or not set. */
  private List<CudaTensor> tensors(double @Nullable [] values) {
    List<CudaTensor> tensors = new ArrayList<>();
    for (int set = 0; set < sets; set++) {
      CudaTensor tensor = device.allocate(batch.dtype, batch.shape);
      tensors.add(tensor);
      if (values != null) {
        fill(tensor, values);
      }
    }
    return tensors;
  }

  private void fill(CudaTensor tensor, double[] values) {
    int elementBytes = CudaTensor.elementBytes(batch.dtype);
    try (CudaTensor block = backend.fromHost(HostTensor.of(values, values.length), batch.dtype)) {
      for (long start = 0; start < tensor.size(); start += values.length) {
        long count = Math.min(values.length, tensor.size() - start);
        try (CudaTensor part =
                device.wrap(tensor.pointer() + elementBytes * start, batch.dtype, count);
            CudaTensor from = device.wrap(block.pointer(), batch.dtype, count)) {
          device.copy(from, part);
        }
      }
    }
  }

  private double tolerance() {
    return switch (batch.dtype) {
      case FLOAT64 -> 1e-12;
      case FLOAT32 -> 1e-5;
      case FLOAT16 -> 4e-3;
      case BFLOAT16 -> 3e-2;
    };
  }

  /** How far outputs of the first and the last feature are off, in deviations. */
  private double error(
      VirtualBatchNorm<CudaTensor> layer, double[] xs, double[] references, CudaTensor output) {
    CudaTensor gammas = layer.gamma();
    CudaTensor betas = layer.beta();
    if (gammas == null || betas == null) {
      throw new IllegalStateException("a layer without parameters; expected an initialized one");
    }
    double worst = 0;
    for (long feature : new long[] {0, batch.features() - 1}) {
      double[] live = moments(xs, feature);
      double[] reference = moments(references, feature);
      double w = 1.0 / (batch.shape[0] + 1);
      double d = live[0] - reference[0];
      double mean = reference[0] + w * d;
      double variance = (1 - w) * reference[1] + w * live[1] + w * (1 - w) * d * d;
      double gamma = backend.toHost(gammas).get((int) feature);
      double beta = backend.toHost(betas).get((int) feature);
      double slope = gamma / Math.sqrt(variance + layer.config().epsilon());
      long rows = batch.size() / batch.features() / batch.after();
      for (long row : new long[] {0, rows - 1}) {
        long start = (row * batch.features() + feature) * batch.after();
        int count = (int) Math.min(COMPARED, batch.after());
        start += batch.after() - count;
        int elementBytes = CudaTensor.elementBytes(batch.dtype);
        try (CudaTensor part =
            device.wrap(output.pointer() + elementBytes * start, batch.dtype, count)) {
          double[] actual = backend.toHost(part).toDoubles();
          for (int i = 0; i < count; i++) {
            double x = xs[(int) ((start + i) % xs.length)];
            double off = Math.abs(actual[i] - ((x - mean) * slope + beta));
            worst = off <= worst ? worst : off; // NaN stays
          }
        }
      }
    }
    return worst;
  }

  /** Mean and variance of a feature of a tensor that repeats these values. */
  private double[] moments(double[] values, long feature) {
    long rows = batch.size() / batch.features() / batch.after();
    double sum = 0;
    double squares = 0;
    for (long row = 0; row < rows; row++) {
      long start = (row * batch.features() + feature) * batch.after();
      for (long i = 0; i < batch.after(); i++) {
        double value = values[(int) ((start + i) % values.length)];
        sum += value;
        squares += value * value;
      }
    }
    double n = (double) rows * batch.after();
    double mean = sum / n;
    return new double[] {mean, squares / n - mean * mean};
  }
}
