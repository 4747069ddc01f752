package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What 32-bit arithmetic makes hard, compared with 64 bits: values far from 0 or from the first of
 * them, squares that no float holds, and long runs of one value, whose rounding does not cancel.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
class AccuracyTest extends OnEmulator {
  /** Of the rounding of 32 bits; half of what the kit allows. */
  private static final double UNITS = 8 * 0x1p-24;

  private static final DType[] DTYPES = {DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16, DType.FLOAT64
  };

  /** Examples, features and positions: several units of a group, no vectors, and short runs. */
  private static final int[][] SHAPES = {{2, 2, 8192}, {3, 1, 2111}, {4099, 3, 1}};

  /** 32 threads for each feature of a unit of 1024 rows. */
  private static final int[] MANY_FOR_A_THREAD = {2048, 512, 1};

  /** Values of a feature. */
  enum Data {
    LOG_NORMAL_BEHIND_AN_OUTLIER {
      @Override
      double at(int i, int n, double largest, Random random) {
        double value = Math.exp(1.5 * random.nextGaussian());
        return i == 0 ? 3000 : Math.min(value, 3000);
      }
    },
    LARGEST {
      @Override
      double at(int i, int n, double largest, Random random) {
        return random.nextBoolean() ? largest : -largest * random.nextDouble();
      }
    },
    LARGEST_THAT_CANCEL {
      @Override
      double at(int i, int n, double largest, Random random) {
        return i % 2 == 0 ? largest : -largest;
      }
    },
    /** In steps of 1/4, each exact in 32 bits. */
    A_MILLION_DEVIATIONS_FROM_0 {
      @Override
      double at(int i, int n, double largest, Random random) {
        return Math.min(0x1p20, largest / 2) + Math.round(random.nextGaussian() * 4) / 4.0;
      }
    },
    ONE_VALUE_BEHIND_AN_OUTLIER {
      @Override
      double at(int i, int n, double largest, Random random) {
        return i == 0 ? -977.3 : 12.34567;
      }
    },
    ONE_VALUE_BEFORE_AN_OUTLIER {
      @Override
      double at(int i, int n, double largest, Random random) {
        return i == n - 1 ? -977.3 : 12.34567;
      }
    },
    TWO_VALUES {
      @Override
      double at(int i, int n, double largest, Random random) {
        return random.nextBoolean() ? 0.1 : 0.7;
      }
    },
    /** Squares of the distance to the first are a thousand times the variance of most units. */
    FAR_FROM_A_FIRST_THOUSAND {
      @Override
      double at(int i, int n, double largest, Random random) {
        return (i < 1000 ? 0 : 30) + random.nextGaussian();
      }
    },
    /** Of each of 32 threads, where there are many for each. */
    EQUAL_BEHIND_EIGHT_OUTLIERS {
      @Override
      double at(int i, int n, double largest, Random random) {
        return i < 8 * 32 ? 0 : 1.000366;
      }
    },
    RISING {
      @Override
      double at(int i, int n, double largest, Random random) {
        return 100.0 * i / n + 0.01 * random.nextGaussian();
      }
    },
    /** Subnormal, or nearly, in all but 64 bits. */
    SMALLEST {
      @Override
      double at(int i, int n, double largest, Random random) {
        return random.nextGaussian() / largest / 4;
      }
    },
    MOSTLY_0 {
      @Override
      double at(int i, int n, double largest, Random random) {
        return random.nextInt(500) == 0 ? random.nextGaussian() : 0;
      }
    },
    /** Squares of all but one vanish in 32 bits. */
    TINY_BESIDE_AN_OUTLIER {
      @Override
      double at(int i, int n, double largest, Random random) {
        return i == n / 2 ? 1e-3 : Math.abs(random.nextGaussian()) / largest;
      }
    };

    abstract double at(int i, int n, double largest, Random random);
  }

  static List<Arguments> cases() {
    List<Arguments> cases = new ArrayList<>();
    for (Data data : Data.values()) {
      for (DType dtype : DTYPES) {
        for (int[] shape : SHAPES) {
          cases.add(Arguments.of("one", data, dtype, shape));
          cases.add(Arguments.of("together", data, dtype, shape));
          cases.add(Arguments.of("two", data, dtype, shape));
        }
      }
    }
    cases.add(
        Arguments.of("two", Data.EQUAL_BEHIND_EIGHT_OUTLIERS, DType.FLOAT32, MANY_FOR_A_THREAD));
    return cases;
  }

  private static double largest(DType dtype) {
    return switch (dtype) {
      case FLOAT16 -> 65504;
      case BFLOAT16 -> 0x1.fep127;
      case FLOAT32, FLOAT64 -> Float.MAX_VALUE;
    };
  }

  /** The same values for each feature. */
  private static HostTensor batch(Data data, DType dtype, int[] shape) {
    int n = shape[0] * shape[2];
    Random random = new Random(7);
    double[] values = new double[n * shape[1]];
    for (int i = 0; i < n; i++) {
      double value = data.at(i, n, largest(dtype), random);
      for (int c = 0; c < shape[1]; c++) {
        values[(i / shape[2] * shape[1] + c) * shape[2] + i % shape[2]] = value;
      }
    }
    return HostTensor.of(values, shape[0], shape[1], shape[2]).to(dtype);
  }

  /** Batch normalization of a batch and its gradient, in 64 bits and two passes. */
  private static final class Expected {
    final double mean;
    final double variance;
    final double deviation;
    final double upstream; // sum(dy)
    final double upstreamDeviation; // sum(dy*xh)
    final double upstreamScale; // sum(|dy|)
    final double upstreamDeviationScale; // sum(|dy*xh|)
    final int n;

    Expected(double[] x, double[] dy, int[] shape, int feature, double epsilon) {
      n = shape[0] * shape[2];
      double sum = 0;
      for (int i = 0; i < n; i++) {
        sum += x[at(i, shape, feature)];
      }
      mean = sum / n;
      double squares = 0;
      for (int i = 0; i < n; i++) {
        double d = x[at(i, shape, feature)] - mean;
        squares += d * d;
      }
      variance = squares / n;
      deviation = Math.sqrt(variance + epsilon);
      double a = 0;
      double b = 0;
      double absoluteA = 0;
      double absoluteB = 0;
      for (int i = 0; i < n; i++) {
        double g = dy[at(i, shape, feature)];
        double product = g * normalized(x[at(i, shape, feature)]);
        a += g;
        b += product;
        absoluteA += Math.abs(g);
        absoluteB += Math.abs(product);
      }
      upstream = a;
      upstreamDeviation = b;
      upstreamScale = absoluteA;
      upstreamDeviationScale = absoluteB;
    }

    static int at(int i, int[] shape, int feature) {
      return (i / shape[2] * shape[1] + feature) * shape[2] + i % shape[2];
    }

    double normalized(double x) {
      return (x - mean) / deviation;
    }

    double gradient(double x, double dy) {
      return (dy - upstream / n - normalized(x) * upstreamDeviation / n) / deviation;
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWith64Bits(String plan, Data data, DType dtype, int[] shape) {
    if (plan.equals("together")) {
      emulator.device(16, 24 << 10); // in parts
    }
    double epsilon = 1e-100; // smaller than the variance of the smallest
    VbnConfig config = VbnConfig.of(shape[1])
        .withEpsilon(epsilon)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    HostTensor host = batch(data, dtype, shape);
    double[] values = host.toDoubles();
    HostTensor hostUpstream = upstream(values, dtype, shape);
    double[] dy = hostUpstream.toDoubles();
    try (VbnBackend<CudaTensor> backend = Emulator.open(plan);
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        CudaTensor x = backend.fromHost(host, dtype);
        CudaTensor upstream = backend.fromHost(hostUpstream, dtype);
        ReferenceOutput<CudaTensor> pass = layer.reference(x)) {
      ReferenceStatistics<CudaTensor> statistics = pass.statistics();
      try (Gradients<CudaTensor> gradients = layer.referenceBackward(x, statistics, upstream)) {
        double[] mean = backend.toHost(statistics.mean()).toDoubles();
        double[] variance = backend.toHost(statistics.variance()).toDoubles();
        double[] y = backend.toHost(pass.output()).toDoubles();
        double[] dx = backend.toHost(gradients.dx()).toDoubles();
        double[] dgamma = backend.toHost(gradients.dgamma()).toDoubles();
        double[] dbeta = backend.toHost(gradients.dbeta()).toDoubles();
        for (int c = 0; c < shape[1]; c++) {
          Expected expected = new Expected(values, dy, shape, c, epsilon);
          assertClose("mean", expected.mean, mean[c], UNITS * expected.deviation);
          assertClose("variance", expected.variance, variance[c], UNITS * expected.variance);
          // A sum of subnormals is one itself.
          double least = dtype == DType.FLOAT64 ? 0 : Float.MIN_VALUE;
          assertClose("dbeta", expected.upstream, dbeta[c], UNITS * expected.upstreamScale + least);
          assertClose(
              "dgamma",
              expected.upstreamDeviation,
              dgamma[c],
              UNITS * expected.upstreamDeviationScale + least);
          checkElements(expected, dtype, shape, c, values, dy, y, dx);
        }
      }
    }
  }

  /** From -1 to 1 times a part of the deviation, so that no gradient overflows. */
  private static HostTensor upstream(double[] x, DType dtype, int[] shape) {
    double scale = new Expected(x, x, shape, 0, 0).deviation / 1024;
    Random random = new Random(8);
    double[] values = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      values[i] = scale * (2 * random.nextDouble() - 1);
    }
    return HostTensor.of(values, shape[0], shape[1], shape[2]).to(dtype);
  }

  private static void checkElements(
      Expected expected,
      DType dtype,
      int[] shape,
      int feature,
      double[] x,
      double[] dy,
      double[] y,
      double[] dx) {
    double largestOutput = 0;
    double largestGradient = 0;
    for (int i = 0; i < expected.n; i++) {
      int at = Expected.at(i, shape, feature);
      double xh = expected.normalized(x[at]);
      largestOutput = Math.max(largestOutput, Math.abs(xh));
      double terms = Math.abs(dy[at])
          + Math.abs(expected.upstream) / expected.n
          + Math.abs(xh * expected.upstreamDeviation) / expected.n;
      largestGradient = Math.max(largestGradient, terms / expected.deviation);
    }
    double rounding = dtype.precision() < 24 ? Math.scalb(1.0, -dtype.precision()) : 0;
    double least = dtype == DType.FLOAT16 ? 0x1p-25 : 0;
    for (int i = 0; i < expected.n; i++) {
      int at = Expected.at(i, shape, feature);
      assertClose(
          "y[" + i + "]",
          expected.normalized(x[at]),
          y[at],
          UNITS * largestOutput
              + rounding * Math.abs(expected.normalized(x[at])) * (1 + UNITS)
              + least);
      assertClose(
          "dx[" + i + "]",
          expected.gradient(x[at], dy[at]),
          dx[at],
          UNITS * largestGradient
              + rounding * Math.abs(expected.gradient(x[at], dy[at])) * (1 + UNITS)
              + least);
    }
  }

  private static void assertClose(String what, double expected, double actual, double bound) {
    assertTrue(
        Math.abs(actual - expected) <= bound,
        () -> what + " is " + actual + "; expected " + expected + " within " + bound);
  }
}
