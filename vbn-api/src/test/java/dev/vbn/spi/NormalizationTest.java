package dev.vbn.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.Mask;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The formula against its definition in 60 decimal digits, and its slopes against differences of
 * that definition.
 */
final class NormalizationTest {
  private static final MathContext DIGITS = new MathContext(60);
  private static final BigDecimal STEP = new BigDecimal("1e-20");

  private static final double EPSILON = 0.125;
  private static final double GAMMA = -1.75;
  private static final double[] X = {3, -1, 4.5, 1, -5.25};
  private static final double[] DY = {0.5, -2, 1.25, 3, -0.75};
  private static final double MR = 0.75;
  private static final double VR = 2.5;

  private static Normalization how(Scope scope, double weight) {
    Geometry geometry =
        scope == Scope.EXAMPLE ? new Geometry(7, 1, 3, X.length) : new Geometry(X.length, 1, 3, 1);
    return new Normalization(geometry, scope, weight, EPSILON, ReferenceGradient.ATTACHED);
  }

  private static BigDecimal big(double value) {
    return new BigDecimal(value);
  }

  private static BigDecimal meanOf(BigDecimal[] values) {
    return Arrays.stream(values)
        .reduce(BigDecimal.ZERO, BigDecimal::add)
        .divide(BigDecimal.valueOf(values.length), DIGITS);
  }

  private static BigDecimal varianceOf(BigDecimal[] values) {
    BigDecimal mean = meanOf(values);
    return meanOf(Arrays.stream(values)
        .map(value -> value.subtract(mean).pow(2, DIGITS))
        .toArray(BigDecimal[]::new));
  }

  /** m, v and s of the definition. */
  private record Mixed(BigDecimal mean, BigDecimal variance, BigDecimal deviation) {
    static Mixed of(BigDecimal[] x, BigDecimal mr, BigDecimal vr, double weight) {
      BigDecimal w = big(weight);
      BigDecimal rest = BigDecimal.ONE.subtract(w);
      BigDecimal meanSquare = rest.multiply(vr.add(mr.pow(2, DIGITS)))
          .add(w.multiply(varianceOf(x).add(meanOf(x).pow(2, DIGITS))));
      BigDecimal m = rest.multiply(mr).add(w.multiply(meanOf(x)));
      BigDecimal v = meanSquare.subtract(m.pow(2, DIGITS));
      return new Mixed(m, v, v.add(big(EPSILON)).sqrt(DIGITS));
    }
  }

  /** The sum of dy*y, whose derivatives the gradients are. */
  private static BigDecimal loss(BigDecimal[] x, BigDecimal mr, BigDecimal vr, double weight) {
    Mixed mixed = Mixed.of(x, mr, vr, weight);
    BigDecimal loss = BigDecimal.ZERO;
    for (int i = 0; i < x.length; i++) {
      BigDecimal y = big(GAMMA).multiply(x[i].subtract(mixed.mean)).divide(mixed.deviation, DIGITS);
      loss = loss.add(big(DY[i]).multiply(y));
    }
    return loss;
  }

  private static BigDecimal[] x() {
    return Arrays.stream(X).mapToObj(NormalizationTest::big).toArray(BigDecimal[]::new);
  }

  private static double slope(BigDecimal above, BigDecimal below) {
    return above
        .subtract(below)
        .divide(STEP.multiply(BigDecimal.valueOf(2)), DIGITS)
        .doubleValue();
  }

  private static Mixture mix(Normalization how) {
    return how.mix(MR, VR, meanOf(x()).doubleValue(), varianceOf(x()).doubleValue());
  }

  @ParameterizedTest
  @CsvSource({"BATCH, 0.25", "BATCH, 0.5", "BATCH, 0.0625", "EXAMPLE, 0.375", "BATCH, 1", "NONE, 0"
  })
  void theMixtureIsThatOfTheDefinition(Scope scope, double weight) {
    Mixture mixture = mix(how(scope, weight));
    Mixed expected = Mixed.of(x(), big(MR), big(VR), weight);

    assertClose(expected.mean.doubleValue(), mixture.mean());
    assertClose(expected.variance.doubleValue(), mixture.variance());
    assertClose(expected.deviation.doubleValue(), mixture.deviation());
  }

  @Test
  void theDifferenceIsLiveMinusReference() {
    assertEquals(3, how(Scope.BATCH, 0.25).mix(2, 1, 5, 0).difference());
  }

  /** The textbook's E[x^2] - m^2 would have no digit left. */
  @Test
  void aVarianceThatIsSmallNextToTheMeanIsKept() {
    Mixture mixture = how(Scope.BATCH, 0.5).mix(1e12, 0.25, 1e12 + 1, 0.75);

    assertEquals(1e12 + 0.5, mixture.mean());
    assertEquals(0.75, mixture.variance()); // 0.125 + 0.375 + 0.25
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
  void whatHasNoWeightHasNoEffect(double other) {
    Mixture reference = how(Scope.NONE, 0).mix(2, 3.875, other, other);
    assertEquals(new Mixture(0, 2, 3.875, 2), reference);
    assertEquals(reference, how(Scope.NONE, 0).alone(2, 3.875));

    Mixture live = how(Scope.BATCH, 1).mix(other, other, 2, 3.875);
    assertEquals(new Mixture(0, 2, 3.875, 2), live);
  }

  @Test
  void nanReachesTheMixtureWhereItHasWeight() {
    for (Mixture mixture : new Mixture[] {
      how(Scope.BATCH, 0.5).mix(Double.NaN, 1, 2, 1), how(Scope.BATCH, 0.5).mix(1, 1, Double.NaN, 1)
    }) {
      assertEquals(Double.NaN, mixture.mean());
      assertEquals(Double.NaN, mixture.variance());
      assertEquals(Double.NaN, mixture.deviation());
    }
  }

  @ParameterizedTest
  @CsvSource({"BATCH, 0.25", "BATCH, 0.5", "EXAMPLE, 0.375", "BATCH, 1", "NONE, 0"})
  void theSlopesAreTheDerivativesOfTheDefinition(Scope scope, double weight) {
    Normalization how = how(scope, weight);
    Mixture mixture = mix(how);
    double a = 0;
    double b = 0;
    for (int i = 0; i < X.length; i++) {
      a += DY[i];
      b += DY[i] * (X[i] - mixture.mean()) / mixture.deviation();
    }
    Slopes slopes = how.slopes(mixture, GAMMA, X.length, a, b);

    for (int i = 0; i < X.length; i++) {
      BigDecimal[] above = x();
      BigDecimal[] below = x();
      above[i] = above[i].add(STEP);
      below[i] = below[i].subtract(STEP);
      assertClose(
          slope(loss(above, big(MR), big(VR), weight), loss(below, big(MR), big(VR), weight)),
          slopes.upstream() * DY[i] + slopes.input() * (X[i] - mixture.mean()) + slopes.constant());
    }
    assertClose(
        slope(
            loss(x(), big(MR).add(STEP), big(VR), weight),
            loss(x(), big(MR).subtract(STEP), big(VR), weight)),
        slopes.referenceMean());
    assertClose(
        slope(
            loss(x(), big(MR), big(VR).add(STEP), weight),
            loss(x(), big(MR), big(VR).subtract(STEP), weight)),
        slopes.referenceVariance());
  }

  private static final double[] V = {1.5, -0.25, 2, -3, 0.5};
  private static final double VGAMMA = 0.75;
  private static final double VBETA = -1.5;

  /** The sum of dx*v, vgamma*dgamma and vbeta*dbeta, by the gradients' own definition. */
  private static BigDecimal secondLoss(
      BigDecimal[] x, BigDecimal[] dy, BigDecimal gamma, double weight) {
    Mixed mixed = Mixed.of(x, big(MR), big(VR), weight);
    BigDecimal a = BigDecimal.ZERO;
    BigDecimal b = BigDecimal.ZERO;
    BigDecimal[] xh = new BigDecimal[x.length];
    for (int i = 0; i < x.length; i++) {
      xh[i] = x[i].subtract(mixed.mean).divide(mixed.deviation, DIGITS);
      a = a.add(dy[i]);
      b = b.add(dy[i].multiply(xh[i], DIGITS));
    }
    BigDecimal loss = big(VGAMMA).multiply(b).add(big(VBETA).multiply(a));
    for (int i = 0; i < x.length; i++) {
      BigDecimal through = a.add(xh[i].multiply(b)).multiply(big(weight / x.length));
      BigDecimal dx =
          gamma.divide(mixed.deviation, DIGITS).multiply(dy[i].subtract(through), DIGITS);
      loss = loss.add(big(V[i]).multiply(dx, DIGITS));
    }
    return loss;
  }

  private static BigDecimal[] dy() {
    return Arrays.stream(DY).mapToObj(NormalizationTest::big).toArray(BigDecimal[]::new);
  }

  private static BigDecimal[] moved(BigDecimal[] values, int at, BigDecimal by) {
    BigDecimal[] moved = values.clone();
    moved[at] = moved[at].add(by);
    return moved;
  }

  @ParameterizedTest
  @CsvSource({"BATCH, 0.25", "BATCH, 0.5", "EXAMPLE, 0.375", "BATCH, 1", "NONE, 0"})
  void theSecondSlopesAreTheDerivativesOfTheFirst(Scope scope, double weight) {
    // 5 elements a group and these weights: w/n is no number of binary digits, but the same one.
    Normalization how = how(scope, weight);
    Mixture mixture = mix(how);
    double[] sums = new double[5];
    for (int i = 0; i < X.length; i++) {
      double xh = (X[i] - mixture.mean()) / mixture.deviation();
      sums[0] += DY[i];
      sums[1] += DY[i] * xh;
      sums[2] += V[i];
      sums[3] += V[i] * xh;
      sums[4] += DY[i] * V[i];
    }
    SecondSlopes slopes = how.secondSlopes(
        mixture,
        GAMMA,
        X.length,
        new SecondSums(sums[0], sums[1], sums[2], sums[3], sums[4]),
        VGAMMA,
        VBETA);

    for (int i = 0; i < X.length; i++) {
      double distance = X[i] - mixture.mean();
      assertClose(
          slope(
              secondLoss(moved(x(), i, STEP), dy(), big(GAMMA), weight),
              secondLoss(moved(x(), i, STEP.negate()), dy(), big(GAMMA), weight)),
          slopes.cross() * DY[i]
              + slopes.input() * V[i]
              + slopes.distance() * distance
              + slopes.inputConstant());
      assertClose(
          slope(
              secondLoss(x(), moved(dy(), i, STEP), big(GAMMA), weight),
              secondLoss(x(), moved(dy(), i, STEP.negate()), big(GAMMA), weight)),
          slopes.upstream() * V[i] + slopes.cross() * distance + slopes.upstreamConstant());
    }
    assertClose(
        slope(
            secondLoss(x(), dy(), big(GAMMA).add(STEP), weight),
            secondLoss(x(), dy(), big(GAMMA).subtract(STEP), weight)),
        slopes.gamma());
  }

  /** Where live statistics have no weight, sums over others reach no element. */
  @Test
  void withoutWeightNanInASumReachesNoSecondGradientOfAnElement() {
    Normalization how = how(Scope.NONE, 0);
    double nan = Double.NaN;

    assertEquals(
        new SecondSlopes(2, 0, 0, 0, 1.5, 5, 3),
        how.secondSlopes(how.alone(2, 3.875), 3, 2, new SecondSums(nan, nan, nan, nan, 6), 4, 5));
  }

  private static void assertClose(double expected, double actual) {
    assertEquals(expected, actual, 1e-13);
  }

  /** Without weight no sum reaches dx, and B reaches the mean's gradient by no way. */
  @Test
  void withoutWeightNanInASumReachesOnlyWhatIsMadeOfIt() {
    Normalization how = how(Scope.NONE, 0);
    Mixture mixture = how.alone(2, 3.875);

    assertEquals(new Slopes(1.5, 0, 0, -6, Double.NaN), how.slopes(mixture, 3, 5, 4, Double.NaN));
    assertEquals(
        new Slopes(1.5, 0, 0, Double.NaN, -0.375), how.slopes(mixture, 3, 5, Double.NaN, 1));
  }

  @Test
  void withWholeWeightNothingReachesTheReference() {
    Normalization how = how(Scope.BATCH, 1);
    Slopes slopes = how.slopes(how.alone(2, 3.875), 3, 5, Double.NaN, Double.POSITIVE_INFINITY);

    assertEquals(0, slopes.referenceMean());
    assertEquals(0, slopes.referenceVariance());
  }

  @Test
  void groupsAndTheirElements() {
    Geometry geometry = new Geometry(2, 3, 5, 7);
    for (Scope scope : Scope.values()) {
      Normalization how =
          new Normalization(geometry, scope, 0.5, EPSILON, ReferenceGradient.DETACHED);
      assertEquals(scope == Scope.EXAMPLE ? 2 : 1, how.groups());
      assertEquals(scope == Scope.EXAMPLE ? 21 : 42, how.elementsPerGroup(1));
    }
  }

  @Test
  void elementsOfAGroupAreThoseThatCount() {
    Geometry geometry = Geometry.of(new long[] {3, 2, 7}, 1, Mask.lengths(7, 0, 4));
    Normalization perExample =
        new Normalization(geometry, Scope.EXAMPLE, 0.5, EPSILON, ReferenceGradient.DETACHED);
    assertEquals(7, perExample.elementsPerGroup(0));
    assertEquals(0, perExample.elementsPerGroup(1));
    assertEquals(4, perExample.elementsPerGroup(2));
    Normalization ofBatch =
        new Normalization(geometry, Scope.BATCH, 0.5, EPSILON, ReferenceGradient.DETACHED);
    assertEquals(11, ofBatch.elementsPerGroup(0));
  }
}
