package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Elements so large that their squares, or their sums, do not fit their type or 64 bits. */
class OverflowTest {
  private final Kernels<HostTensor> backend =
      new ReferenceProvider(Runnable::run).open(new BackendOptions(null, 1));

  /** Long runs, short ones, channels-last, one feature alone, and a batch of several chunks. */
  private static final List<long[]> SHAPES = List.of(
      new long[] {20, 3, 128},
      new long[] {60, 5, 16},
      new long[] {300, 20},
      new long[] {4, 2, 3},
      new long[] {1024, 1},
      new long[] {600, 2, 512});

  /** Of every feature half the elements are one value, and half another. */
  private static HostTensor halves(DType dtype, double one, double other, long... shape) {
    Geometry geometry = Geometry.of(shape, 1);
    HostTensor x = HostTensor.zeros(DType.FLOAT64, shape);
    long row = geometry.features() * geometry.after();
    for (int i = 0; i < x.size(); i++) {
      x.doubles()[i] = i / row % 2 == 0 ? one : other;
    }
    return x.to(dtype);
  }

  private static HostTensor constant(DType dtype, double value, int features) {
    double[] values = new double[features];
    Arrays.fill(values, value);
    return HostTensor.of(values, features).to(dtype);
  }

  private static Normalization how(HostTensor x, Scope scope, double weight) {
    return new Normalization(
        Geometry.of(x.shape(), 1), scope, weight, 1e-5, ReferenceGradient.ATTACHED);
  }

  private static void assertAll(double expected, HostTensor actual, String what) {
    for (int i = 0; i < actual.size(); i++) {
      assertEquals(expected, actual.get(i), what);
    }
  }

  /** The variance is infinite, and so the output is beta; the mean is right. */
  @ParameterizedTest
  @ValueSource(doubles = {1e155, 1e200, 1e300, 0x1p1022})
  void varianceThatOverflowsIsInfinite(double size) {
    for (long[] shape : SHAPES) {
      HostTensor x = halves(DType.FLOAT64, -size, size / 2, shape);
      int features = (int) shape[1];
      String what = size + " " + Arrays.toString(shape);
      Moments<HostTensor> moments = backend.statistics(x, Geometry.of(shape, 1), Scope.BATCH);
      for (int i = 0; i < features; i++) {
        assertEquals(-size / 4, moments.mean().get(i), size * 1e-14, what);
      }
      assertAll(Double.POSITIVE_INFINITY, moments.variance(), what);

      HostTensor gamma = constant(DType.FLOAT64, 3, features);
      HostTensor beta = constant(DType.FLOAT64, 4, features);
      Normalized<HostTensor> reference = backend.reference(x, how(x, Scope.BATCH, 1), gamma, beta);
      assertAll(4, reference.output(), what);
      Moments<HostTensor> ordinary =
          new Moments<>(constant(DType.FLOAT64, 0, features), constant(DType.FLOAT64, 1, features));
      Normalization live = how(x, Scope.BATCH, 0.25);
      assertAll(4, backend.forward(x, live, ordinary, gamma, beta, null), what);
      HostTensor small = halves(DType.FLOAT64, 1, 2, shape);
      for (Scope scope : Scope.values()) {
        Normalization other = how(x, scope, scope == Scope.NONE ? 0 : 0.25);
        assertAll(4, backend.forward(small, other, moments, gamma, beta, null), what + scope);
      }
    }
  }

  @Test
  void gradientsWhereTheVarianceOverflowsAreZero() {
    for (long[] shape : SHAPES) {
      HostTensor x = halves(DType.FLOAT64, -1e200, 1e200, shape);
      HostTensor upstream = halves(DType.FLOAT64, 1, 2, shape);
      int features = (int) shape[1];
      String what = Arrays.toString(shape);
      Moments<HostTensor> ordinary =
          new Moments<>(constant(DType.FLOAT64, 0, features), constant(DType.FLOAT64, 1, features));
      Differentiated<HostTensor> gradients =
          backend.backward(x, upstream, how(x, Scope.BATCH, 0.25), ordinary, null, null);
      assertAll(0, positive(gradients.dx()), what);
      assertAll(0, positive(gradients.dgamma()), what);
      assertAll(1.5 * x.size() / features, gradients.dbeta(), what);
    }
  }

  private static HostTensor positive(HostTensor tensor) {
    double[] values = tensor.toDoubles();
    Arrays.setAll(values, i -> Math.abs(values[i]));
    return HostTensor.of(values, tensor.shape());
  }

  /** NaN is not overflow. */
  @Test
  void whatIsNoNumberStaysNone() {
    for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
      for (double value : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
        for (long[] shape : SHAPES) {
          HostTensor x = halves(dtype, 1, value, shape);
          Normalized<HostTensor> reference =
              backend.reference(x, how(x, Scope.BATCH, 1), null, null);
          assertAll(Double.NaN, reference.output(), value + " " + Arrays.toString(shape));
          assertAll(Double.NaN, reference.statistics().variance(), value + "");
        }
      }
    }
  }

  /** In 64 bits no square of 32 overflows: the result is exact. */
  @Test
  void theLargestFloatsAreOrdinary() {
    for (long[] shape : SHAPES) {
      HostTensor x = halves(DType.FLOAT32, Float.MAX_VALUE, -Float.MAX_VALUE, shape);
      int features = (int) shape[1];
      HostTensor beta = constant(DType.FLOAT32, 4, features);
      HostTensor output =
          backend.reference(x, how(x, Scope.BATCH, 1), null, beta).output();
      for (int i = 0; i < output.size(); i++) {
        assertEquals(x.get(i) > 0 ? 5 : 3, output.get(i), 1e-6, Arrays.toString(shape));
      }
    }
  }

  /** Centred first: of constants nothing is left but beta, however large they are. */
  @ParameterizedTest
  @ValueSource(doubles = {1e13, 1e38})
  void constantsLeaveBeta(double value) {
    for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
      for (long[] shape : SHAPES) {
        HostTensor x = halves(dtype, value, value, shape);
        int features = (int) shape[1];
        HostTensor beta = constant(dtype, 4, features);
        Normalized<HostTensor> reference = backend.reference(x, how(x, Scope.BATCH, 1), null, beta);
        assertAll(4, reference.output(), value + " " + Arrays.toString(shape));
        for (Scope scope : Scope.values()) {
          Normalization live = how(x, scope, scope == Scope.NONE ? 0 : 0.25);
          assertAll(
              4,
              backend.forward(x, live, reference.statistics(), null, beta, null),
              value + " " + Arrays.toString(shape) + " " + scope);
        }
      }
    }
  }
}
