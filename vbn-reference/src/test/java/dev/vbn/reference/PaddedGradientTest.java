package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.math.BigDecimal;
import java.math.MathContext;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The gradient of gamma is as exact as its own terms allow, whatever stands in elements whose
 * upstream gradient is 0. Expected values are of decimal arithmetic with 60 digits.
 */
class PaddedGradientTest {
  private static final MathContext DIGITS = new MathContext(60);
  private static final double EPSILON = 1e-5;

  /** Rounding of sums, in units of the sum of their absolute terms. */
  private static final double UNITS = 16;

  private final Kernels<HostTensor> backend =
      new ReferenceProvider(Runnable::run).open(new BackendOptions(null, 1));

  /** A batch, of which one element in each feature is padding. */
  private record Padded(HostTensor x, HostTensor upstream, Geometry geometry) {

    static Padded of(DType dtype, double padding, int axis, long... shape) {
      Geometry geometry = Geometry.of(shape, axis);
      HostTensor x = HostTensor.zeros(DType.FLOAT64, shape);
      HostTensor upstream = HostTensor.zeros(DType.FLOAT64, shape);
      for (int i = 0; i < x.size(); i++) {
        x.doubles()[i] = i * 37 % 101 / 16.0 - 3;
        upstream.doubles()[i] = i * 53 % 89 / 32.0 - 1.375;
      }
      for (int feature = 0; feature < geometry.features(); feature++) {
        int at = index(geometry, 3, feature, 0);
        x.doubles()[at] = padding;
        upstream.doubles()[at] = 0;
      }
      return new Padded(x.to(dtype), upstream.to(dtype), geometry);
    }

    /** Index of an element of a feature, in the order of examples. */
    static int index(Geometry geometry, int example, int feature, int position) {
      long after = geometry.after();
      long row = example * geometry.before() + position / after;
      return (int) ((row * geometry.features() + feature) * after + position % after);
    }

    BigDecimal x(int example, int feature, int position) {
      return new BigDecimal(x.get(index(geometry, example, feature, position)));
    }

    BigDecimal upstream(int example, int feature, int position) {
      return new BigDecimal(upstream.get(index(geometry, example, feature, position)));
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {1e3, 1e9, 1e20, 3e38})
  void ofTheReferenceAlone(double padding) {
    for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
      assertAll(dtype, padding, Scope.NONE, 0);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"BATCH", "EXAMPLE"})
  void ofMixtures(Scope scope) {
    for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
      for (double padding : new double[] {1e3, 1e9, 1e20, 3e38}) {
        for (double weight : new double[] {0x1p-20, 1.0 / 65, 0.5, 0.9}) {
          assertAll(dtype, padding, scope, weight);
        }
      }
    }
  }

  /** Long runs, short ones, channels-last, and so few elements that no vectors are used. */
  private void assertAll(DType dtype, double padding, Scope scope, double weight) {
    assertDgamma(Padded.of(dtype, padding, 1, 20, 3, 128), scope, weight);
    assertDgamma(Padded.of(dtype, padding, 1, 60, 5, 16), scope, weight);
    assertDgamma(Padded.of(dtype, padding, -1, 300, 20), scope, weight);
    assertDgamma(Padded.of(dtype, padding, -1, 4, 25, 2), scope, weight);
    assertDgamma(Padded.of(dtype, padding, 1, 700, 1), scope, weight);
  }

  private void assertDgamma(Padded batch, Scope scope, double weight) {
    Geometry geometry = batch.geometry();
    int features = (int) geometry.features();
    double[] mean = new double[features];
    double[] variance = new double[features];
    for (int i = 0; i < features; i++) {
      mean[i] = 1 + i / 3.0;
      variance[i] = 2 + i / 7.0;
    }
    Normalization how =
        new Normalization(geometry, scope, weight, EPSILON, ReferenceGradient.DETACHED);
    Differentiated<HostTensor> result = backend.backward(
        batch.x(),
        batch.upstream(),
        how,
        new Moments<>(HostTensor.of(mean, features), HostTensor.of(variance, features)),
        null,
        null);
    int groups = (int) how.groups();
    int examples = (int) geometry.batch() / groups;
    for (int feature = 0; feature < features; feature++) {
      BigDecimal dgamma = BigDecimal.ZERO;
      BigDecimal terms = BigDecimal.ZERO;
      for (int group = 0; group < groups; group++) {
        Group sums = Group.of(
            batch,
            feature,
            group * examples,
            examples,
            new BigDecimal(mean[feature]),
            new BigDecimal(variance[feature]),
            new BigDecimal(weight));
        dgamma = dgamma.add(sums.dgamma, DIGITS);
        terms = terms.add(sums.terms, DIGITS);
      }
      double bound = UNITS * Math.scalb(1.0, -batch.x().dtype().precision()) * terms.doubleValue();
      double actual = result.dgamma().get(feature);
      double error = dgamma.subtract(new BigDecimal(actual)).abs().doubleValue();
      String what = geometry + " " + batch.x().dtype() + " " + scope + " weight " + weight
          + " feature " + feature + ": dgamma is " + actual + "; expected " + dgamma.doubleValue()
          + " within " + bound;
      assertTrue(error <= bound, what);
    }
  }

  /** The gradient of gamma from one group, and the sum of the absolute terms it is the sum of. */
  private record Group(BigDecimal dgamma, BigDecimal terms) {

    static Group of(
        Padded batch,
        int feature,
        int first,
        int examples,
        BigDecimal mr,
        BigDecimal vr,
        BigDecimal w) {
      int positions = (int) batch.geometry().positions();
      BigDecimal n = new BigDecimal(examples * positions);
      BigDecimal sum = BigDecimal.ZERO;
      BigDecimal squares = BigDecimal.ZERO;
      for (int example = first; example < first + examples; example++) {
        for (int i = 0; i < positions; i++) {
          BigDecimal x = batch.x(example, feature, i);
          sum = sum.add(x);
          squares = squares.add(x.multiply(x));
        }
      }
      BigDecimal ma = sum.divide(n, DIGITS);
      BigDecimal va = squares.divide(n, DIGITS).subtract(ma.multiply(ma), DIGITS);
      BigDecimal d = ma.subtract(mr);
      BigDecimal rest = BigDecimal.ONE.subtract(w);
      BigDecimal m = mr.add(w.multiply(d));
      BigDecimal v =
          rest.multiply(vr).add(w.multiply(va)).add(w.multiply(rest).multiply(d).multiply(d));
      BigDecimal s = v.add(new BigDecimal(EPSILON)).sqrt(DIGITS);
      BigDecimal b = BigDecimal.ZERO;
      BigDecimal terms = BigDecimal.ZERO;
      for (int example = first; example < first + examples; example++) {
        for (int i = 0; i < positions; i++) {
          BigDecimal term = batch
              .upstream(example, feature, i)
              .multiply(batch.x(example, feature, i).subtract(m), DIGITS);
          b = b.add(term, DIGITS);
          terms = terms.add(term.abs(), DIGITS);
        }
      }
      return new Group(b.divide(s, DIGITS), terms.divide(s, DIGITS));
    }
  }
}
