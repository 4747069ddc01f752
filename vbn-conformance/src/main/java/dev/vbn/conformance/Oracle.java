package dev.vbn.conformance;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What a case must give: the formulas of {@link dev.vbn.spi.Normalization} and {@link
 * dev.vbn.spi.Kernels#backward} written down once more, element by element, in {@link
 * DoubleDouble}. It shares no code with any provider.
 */
final class Oracle {
  /** What was computed before: many rules look at the same cases, and a suite at them again. */
  private static final Map<Case, Map<DType, Expected>> KNOWN =
      Collections.synchronizedMap(new WeakHashMap<>());

  private final Case c;
  private final DoubleDouble epsilon;
  private final Geometry live;
  private final Geometry ref;
  private final double weight;
  private final Expected expected;

  private Oracle(Case c) {
    this.c = c;
    epsilon = DoubleDouble.of(c.config().epsilon());
    live = c.liveGeometry();
    ref = c.referenceGeometry();
    weight = c.config()
        .variant()
        .weight(live.batch(), live.elementsPerFeature(), ref.batch(), ref.elementsPerFeature());
    int features = (int) live.features();
    int mixed = c.config().variant().scope() == Scope.EXAMPLE ? (int) live.batch() : 1;
    expected = new Expected(c.x().size(), c.reference().size(), features, mixed);
  }

  /** What the layer must compute of {@code c} rounded to {@code dtype}. */
  static Expected expect(Case c, DType dtype) {
    return KNOWN
        .computeIfAbsent(c, first -> new ConcurrentHashMap<>())
        .computeIfAbsent(dtype, type -> expect(c.roundedTo(type)));
  }

  /** What the layer must compute of {@code c}, whose values are those that the backend sees. */
  static Expected expect(Case c) {
    Oracle oracle = new Oracle(c);
    for (int feature = 0; feature < oracle.live.features(); feature++) {
      oracle.compute(feature);
    }
    return oracle.expected;
  }

  private void compute(int feature) {
    DoubleDouble[] statistics = statistics(c.reference(), ref, feature, 0, (int) ref.batch());
    DoubleDouble mr = statistics[0];
    DoubleDouble vr = statistics[1];
    DoubleDouble gamma = parameter(c.gamma(), feature, DoubleDouble.ONE);
    DoubleDouble beta = parameter(c.beta(), feature, DoubleDouble.ZERO);
    expected.referenceMean[feature] = mr.value();
    expected.referenceVariance[feature] = vr.value();
    DoubleDouble sr = vr.plus(epsilon).squareRoot();
    expected.condition = Math.max(expected.condition, Math.abs(mr.value()) / sr.value());
    forEach(
        ref,
        feature,
        0,
        (int) ref.batch(),
        i -> expected.referenceOutput[i] =
            gamma.times(at(c.reference(), i).minus(mr).dividedBy(sr)).plus(beta).value());

    int groups = c.config().variant().scope() == Scope.EXAMPLE ? (int) live.batch() : 1;
    int examples = (int) live.batch() / groups;
    DoubleDouble[] sums = {
      DoubleDouble.ZERO, DoubleDouble.ZERO, DoubleDouble.ZERO, DoubleDouble.ZERO
    };
    double[] magnitudes = new double[3];
    for (int group = 0; group < groups; group++) {
      computeGroup(
          feature, group, group * examples, examples, mr, vr, gamma, beta, sums, magnitudes);
    }
    expected.dgamma[feature] = sums[0].value();
    expected.dbeta[feature] = sums[1].value();
    double elements = ref.elementsPerFeature();
    DoubleDouble constant = sums[2].dividedBy(elements);
    DoubleDouble slope = sums[3].times(2).dividedBy(elements);
    forEach(
        ref,
        feature,
        0,
        (int) ref.batch(),
        i -> expected.dreference[i] =
            constant.plus(slope.times(at(c.reference(), i).minus(mr))).value());
    expected.dgammaScale = Math.max(expected.dgammaScale, magnitudes[0]);
    expected.dbetaScale = Math.max(expected.dbetaScale, magnitudes[1]);
    expected.dreferenceScale = Math.max(expected.dreferenceScale, magnitudes[2] / elements);
  }

  private void computeGroup(
      int feature,
      int group,
      int first,
      int examples,
      DoubleDouble mr,
      DoubleDouble vr,
      DoubleDouble gamma,
      DoubleDouble beta,
      DoubleDouble[] sums,
      double[] magnitudes) {
    DoubleDouble w = DoubleDouble.of(weight);
    DoubleDouble rest = DoubleDouble.ONE.minus(w);
    DoubleDouble[] statistics = statistics(c.x(), live, feature, first, examples);
    DoubleDouble d = statistics[0].minus(mr);
    DoubleDouble m = mr.plus(w.times(d));
    DoubleDouble v =
        rest.times(vr).plus(w.times(statistics[1])).plus(w.times(rest).times(d).times(d));
    DoubleDouble s = v.plus(epsilon).squareRoot();
    int index = group * (int) live.features() + feature;
    expected.mixedMean[index] = m.value();
    expected.mixedVariance[index] = v.value();
    expected.condition = Math.max(expected.condition, Math.abs(m.value()) / s.value());
    if (v.value() > 0) {
      expected.varianceCondition = Math.max(
          expected.varianceCondition, Math.abs(m.value()) / v.squareRoot().value());
    }

    DoubleDouble[] ab = {DoubleDouble.ZERO, DoubleDouble.ZERO};
    double[] absolute = new double[2];
    forEach(live, feature, first, examples, i -> {
      DoubleDouble xh = at(c.x(), i).minus(m).dividedBy(s);
      DoubleDouble dy = at(c.upstream(), i);
      expected.output[i] = gamma.times(xh).plus(beta).value();
      ab[0] = ab[0].plus(dy);
      ab[1] = ab[1].plus(dy.times(xh));
      absolute[0] += Math.abs(dy.value());
      // An input's rounding moves xh by a part of |m|/s, however small xh itself is.
      absolute[1] += Math.abs(dy.value()) * Math.max(Math.abs(xh.value()), 1);
    });
    double n = examples * (double) live.positions();
    DoubleDouble factor = gamma.dividedBy(s);
    forEach(live, feature, first, examples, i -> {
      DoubleDouble xh = at(c.x(), i).minus(m).dividedBy(s);
      DoubleDouble dy = at(c.upstream(), i);
      DoubleDouble through = w.dividedBy(n).times(ab[0].plus(xh.times(ab[1])));
      expected.dx[i] = factor.times(dy.minus(through)).value();
      expected.dxScale = Math.max(expected.dxScale, Math.abs(factor.value() * dy.value()));
    });
    DoubleDouble dm = factor.times(ab[0]).negated();
    DoubleDouble dv = factor.dividedBy(s).dividedBy(2).times(ab[1]).negated();
    sums[0] = sums[0].plus(ab[1]);
    sums[1] = sums[1].plus(ab[0]);
    sums[2] = sums[2].plus(rest.times(dm)).minus(w.times(2).times(rest).times(d).times(dv));
    sums[3] = sums[3].plus(rest.times(dv));
    magnitudes[0] += absolute[1];
    magnitudes[1] += absolute[0];
    magnitudes[2] +=
        Math.abs(factor.value()) * (absolute[0] + absolute[1] * referenceReach(feature, m, s));
  }

  /** Largest distance of the reference batch from {@code m} in units of {@code s}. */
  private double referenceReach(int feature, DoubleDouble m, DoubleDouble s) {
    double[] reach = new double[1];
    forEach(
        ref,
        feature,
        0,
        (int) ref.batch(),
        i -> reach[0] = Math.max(
            reach[0], Math.abs(at(c.reference(), i).minus(m).dividedBy(s).value())));
    return reach[0];
  }

  private static DoubleDouble parameter(
      @Nullable HostTensor parameter, int feature, DoubleDouble absent) {
    return parameter == null ? absent : DoubleDouble.of(parameter.get(feature));
  }

  private static DoubleDouble at(HostTensor tensor, int index) {
    return DoubleDouble.of(tensor.get(index));
  }

  private DoubleDouble[] statistics(
      HostTensor tensor, Geometry geometry, int feature, int first, int examples) {
    double n = examples * (double) geometry.positions();
    DoubleDouble[] sum = {DoubleDouble.ZERO, DoubleDouble.ZERO};
    double[] absolute = new double[1];
    forEach(geometry, feature, first, examples, i -> {
      sum[0] = sum[0].plus(at(tensor, i));
      absolute[0] += Math.abs(tensor.get(i)) / n;
    });
    expected.meanScale = Math.max(expected.meanScale, absolute[0]);
    DoubleDouble mean = sum[0].dividedBy(n);
    forEach(geometry, feature, first, examples, i -> {
      DoubleDouble d = at(tensor, i).minus(mean);
      sum[1] = sum[1].plus(d.times(d));
    });
    return new DoubleDouble[] {mean, sum[1].dividedBy(n)};
  }

  private interface IndexAction {
    void accept(int index);
  }

  private static void forEach(
      Geometry geometry, int feature, int first, int examples, IndexAction action) {
    for (int n = first; n < first + examples; n++) {
      for (int b = 0; b < geometry.before(); b++) {
        for (int a = 0; a < geometry.after(); a++) {
          long index =
              ((n * geometry.before() + b) * geometry.features() + feature) * geometry.after() + a;
          action.accept((int) index);
        }
      }
    }
  }

  /**
   * Expected values, rounded once to double, and the magnitudes that rounding errors are measured
   * by: of sums, the sum of the absolute terms.
   */
  static final class Expected {
    final double[] output;
    final double[] referenceOutput;
    final double[] referenceMean;
    final double[] referenceVariance;
    final double[] mixedMean;
    final double[] mixedVariance;
    final double[] dx;
    final double[] dgamma;
    final double[] dbeta;
    final double[] dreference;
    double dxScale;
    double dgammaScale;
    double dbetaScale;
    double dreferenceScale;

    /** Largest |m|/s of a group: how much larger than the deviations the inputs are. */
    double condition;

    /** Largest mean of |x| over a group of either batch: a mean is a sum. */
    double meanScale;

    /** Largest |m|/sqrt(v), without epsilon, of the groups that vary. */
    double varianceCondition;

    private Expected(int size, int referenceSize, int features, int groups) {
      output = new double[size];
      referenceOutput = new double[referenceSize];
      referenceMean = new double[features];
      referenceVariance = new double[features];
      mixedMean = new double[groups * features];
      mixedVariance = new double[groups * features];
      dx = new double[size];
      dgamma = new double[features];
      dbeta = new double[features];
      dreference = new double[referenceSize];
    }

    private Expected(Subject.Outcome values) {
      output = values.output().toDoubles();
      referenceOutput = values.referenceOutput().toDoubles();
      referenceMean = values.referenceMean().toDoubles();
      referenceVariance = values.referenceVariance().toDoubles();
      mixedMean = values.mixedMean().toDoubles();
      mixedVariance = values.mixedVariance().toDoubles();
      dx = values.dx().toDoubles();
      dgamma = values.dgamma().toDoubles();
      dbeta = values.dbeta().toDoubles();
      HostTensor reached = values.dreference();
      dreference = reached == null ? new double[0] : reached.toDoubles();
    }

    /** These magnitudes, with a backend's own results for values. */
    Expected withValues(Subject.Outcome values) {
      Expected other = new Expected(values);
      other.dxScale = dxScale;
      other.dgammaScale = dgammaScale;
      other.dbetaScale = dbetaScale;
      other.dreferenceScale = dreferenceScale;
      other.condition = condition;
      other.meanScale = meanScale;
      other.varianceCondition = varianceCondition;
      return other;
    }
  }
}
