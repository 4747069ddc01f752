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
import java.util.Arrays;
import java.util.Locale;
import java.util.Random;
import java.util.regex.Pattern;

/**
 * Times forward and backward on a device, by its own clock, beside a copy on the device of the same
 * tensor: both are bound by the bytes that they move.
 *
 * <pre>
 *   java -cp vbn-api.jar:vbn-cuda.jar dev.vbn.cuda.DeviceBenchmark [N,C,L ...]
 * </pre>
 */
final class DeviceBenchmark {
  private static final long[][] SHAPES = {
    {256, 64, 16384}, {64, 16, 8192}, {100, 64, 1024}, {100, 1024, 8}
  };
  private static final Pattern SHAPE = Pattern.compile("[1-9]\\d{0,9},[1-9]\\d{0,8},[1-9]\\d{0,8}");
  private static final int WARM_UPS = 5;
  private static final int SAMPLES = 31;

  private final VbnBackend<CudaTensor> backend;
  private final StreamBackend device;

  private DeviceBenchmark(VbnBackend<CudaTensor> backend) {
    this.backend = backend;
    device = backend.unwrap(StreamBackend.class);
  }

  /**
   * Prints ratios, then milliseconds, of each shape: those named, or four that users have. Ends with 2
   * where a name is of no shape, with 1 where there is no device.
   */
  public static void main(String[] arguments) {
    long[][] shapes;
    try {
      shapes = arguments.length == 0
          ? SHAPES
          : Arrays.stream(arguments).map(DeviceBenchmark::shape).toArray(long[][]::new);
    } catch (IllegalArgumentException e) {
      exit(2, String.valueOf(e.getMessage()));
      return;
    }
    Availability availability = new CudaProvider().probe();
    if (!availability.available()) {
      exit(1, "no device to measure: " + availability.description());
      return;
    }
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      System.out.println(backend.description() + "; median of " + SAMPLES + " after " + WARM_UPS
          + ", live-batch, float32");
      for (long[] shape : shapes) {
        new DeviceBenchmark(backend).measure(shape);
      }
    }
  }

  private static void exit(int status, String message) {
    System.err.println("benchmark: " + message);
    System.exit(status);
  }

  private static long[] shape(String argument) {
    if (!SHAPE.matcher(argument).matches()) {
      throw new IllegalArgumentException(
          "shape is '" + argument + "'; expected N,C,L, such as 64,16,8192");
    }
    return Arrays.stream(argument.split(",", -1)).mapToLong(Long::parseLong).toArray();
  }

  private void measure(long[] shape) {
    VbnConfig config = VbnConfig.of(Math.toIntExact(shape[1]));
    try (CudaTensor x = normal(shape, 1);
        CudaTensor upstream = normal(shape, 2);
        CudaTensor output = device.allocate(DType.FLOAT32, shape);
        VirtualBatchNorm<CudaTensor> layer =
            VirtualBatchNorm.of(backend, config).initialized(DType.FLOAT32, 3);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(upstream)) {
      float copy = median(() -> device.copy(x, output));
      float forward = median(() -> {
        try (Output<CudaTensor> into = layer.forwardInto(output, x, statistics)) {
          into.output(); // the supplied one
        }
      });
      float backward = median(() -> {
        try (Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream)) {
          gradients.dx();
        }
      });
      System.out.printf(
          Locale.ROOT,
          "%-18s times a copy: forward %.2f, backward %.2f (%.2f of the bytes it must move), both %.2f%n",
          Arrays.toString(shape),
          forward / copy,
          backward / copy,
          backward / (1.5f * copy),
          (forward + backward) / copy);
      System.out.printf(
          Locale.ROOT,
          "%-18s copy %.4f ms (%.0f GB/s), forward %.4f ms, backward %.4f ms%n",
          "",
          copy,
          2e-6 * x.bytes() / copy,
          forward,
          backward);
    }
  }

  /** Of the device's own times. */
  private float median(Runnable work) {
    for (int i = 0; i < WARM_UPS; i++) {
      work.run();
    }
    float[] times = new float[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
      times[i] = device.milliseconds(work);
    }
    Arrays.sort(times);
    return times[SAMPLES / 2];
  }

  /** The same million values over and over: what a kernel takes does not depend on them. */
  private CudaTensor normal(long[] shape, long seed) {
    CudaTensor tensor = device.allocate(DType.FLOAT32, shape);
    Random random = new Random(seed);
    float[] values = new float[(int) Math.min(1 << 20, tensor.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    try (CudaTensor block = backend.fromHost(HostTensor.of(values, values.length), DType.FLOAT32)) {
      for (long start = 0; start < tensor.size(); start += values.length) {
        long count = Math.min(values.length, tensor.size() - start);
        try (CudaTensor part = device.wrap(tensor.pointer() + 4 * start, DType.FLOAT32, count);
            CudaTensor from = device.wrap(block.pointer(), DType.FLOAT32, count)) {
          device.copy(from, part);
        }
      }
    }
    return tensor;
  }
}
