package dev.vbn.conformance;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What a case must give: the formulas of {@link dev.vbn.spi.Normalization} and {@link
 * dev.vbn.spi.Kernels#backward} written down once more, group by group, in {@link DoubleDouble}. It
 * shares no code with any provider.
 */
final class Oracle {
  /**
   * What was computed before: many rules look at the same cases, and a suite looks at them again.
   */
  private static final Memo<Case, Map<Precision, Expected>> KNOWN = Memo.byCase();

  /** The batches' type, and whether the statistics have 64 bits whatever that is. */
  private record Precision(DType dtype, boolean wide) {}

  private final Case c;
  private final DoubleDouble epsilon;
  private final double rounding;

  /** How much of its distance from 0 the rounding of a mean costs, in roundings of the type. */
  private final double share;

  private final Geometry live;
  private final Geometry ref;
  private final double weight;
  private final GradientUpstream<HostTensor> second;
  private final Expected expected = new Expected();

  private Oracle(Case c, Precision precision) {
    this.c = c;
    epsilon = DoubleDouble.of(c.config().epsilon());
    rounding = Math.scalb(1.0, -precision.dtype.parameterType().precision());
    share = precision.wide ? 0x1p-53 / rounding : 1;
    live = c.liveGeometry();
    ref = c.referenceGeometry();
    weight = c.weight();
    second = c.second(precision.dtype);
    int features = (int) live.features();
    for (Quantity quantity : Quantity.values()) {
      int size = switch (quantity) {
        case OUTPUT, DX, SECOND_X, SECOND_UPSTREAM -> c.x().size();
        case REFERENCE_OUTPUT, REFERENCE_DX -> c.reference().size();
        case DREFERENCE -> c.attached() ? c.reference().size() : 0;
        case LIVE_MEAN, LIVE_VARIANCE -> groups() * features;
        default -> features;
      };
      if (size > 0) {
        expected.put(quantity, new Values(size));
      }
    }
  }

  /**
   * What the layer must compute of {@code c} rounded to {@code dtype}.
   *
   * @param wide whether statistics have 64 bits, so that a mean far from 0 costs no more than these
   */
  static Expected expect(Case c, DType dtype, boolean wide) {
    return KNOWN
        .get(c, ConcurrentHashMap::new)
        .computeIfAbsent(
            new Precision(dtype, wide), precision -> compute(c.roundedTo(dtype), precision));
  }

  private static Expected compute(Case c, Precision precision) {
    Oracle oracle = new Oracle(c, precision);
    for (int feature = 0; feature < oracle.live.features(); feature++) {
      oracle.compute(feature);
    }
    return oracle.expected;
  }

  /**
   * For sums of that many numbers that are no wider than the numbers: added up one after another,
   * each addition rounds what came before.
   *
   * @param share of a rounding of the numbers that one of the sum is
   */
  private static double growth(int count, double share) {
    return 1 + share * Math.sqrt(count) / 16;
  }

  private int groups() {
    return c.config().variant().scope() == Scope.EXAMPLE ? (int) live.batch() : 1;
  }

  /**
   * The elements that share statistics, those of a feature of some neighbouring examples that count,
   * with both parts of their xh.
   */
  private record Group(int[] index, double[] x, double[] dy, double[] high, double[] low) {
    DoubleDouble xh(int i) {
      return new DoubleDouble(high[i], low[i]);
    }

    static Group of(
        Geometry geometry,
        @Nullable Padding padding,
        int feature,
        int first,
        int examples,
        HostTensor x,
        HostTensor dy) {
      int[] all = new int[examples * (int) geometry.positions()];
      int next = 0;
      for (long n = first; n < first + examples; n++) {
        for (long b = 0; b < geometry.before(); b++) {
          long row = n * geometry.before() + b;
          for (long a = 0; a < geometry.after(); a++) {
            if (padding == null || padding.counts()[(int) (row * geometry.after() + a)]) {
              long start = row * geometry.features() + feature;
              all[next++] = (int) (start * geometry.after() + a);
            }
          }
        }
      }
      int[] index = Arrays.copyOf(all, next);
      double[] values = new double[index.length];
      double[] gradients = new double[index.length];
      for (int i = 0; i < index.length; i++) {
        values[i] = x.get(index[i]);
        gradients[i] = dy.get(index[i]);
      }
      return new Group(
          index, values, gradients, new double[index.length], new double[index.length]);
    }
  }

  /**
   * Mean and biased variance of a group, with the magnitudes of their errors. A mean that is off by
   * its rounding adds the square of that to the variance. Squares are summed in 64 bits, and may be
   * taken around any element: in 64 bits that shows.
   */
  private record Statistics(
      DoubleDouble mean,
      DoubleDouble variance,
      double meanScale,
      double varianceScale,
      double shiftScale) {
    static Statistics of(double[] x, double rounding) {
      double growth = growth(x.length, 0x1p-53 / rounding);
      DoubleDouble sum = DoubleDouble.ZERO;
      double absolute = 0;
      for (double each : x) {
        sum = sum.plus(DoubleDouble.of(each));
        absolute += Math.abs(each);
      }
      DoubleDouble mean = sum.dividedBy(x.length);
      DoubleDouble squares = DoubleDouble.ZERO;
      double farthest = 0;
      for (double each : x) {
        DoubleDouble d = DoubleDouble.of(each).minus(mean);
        squares = squares.plus(d.times(d));
        farthest = Math.max(farthest, Math.abs(d.value()));
      }
      DoubleDouble variance = squares.dividedBy(x.length);
      double m = growth * absolute / x.length;
      double v = variance.value();
      double shift = 0x1p-53 / rounding * farthest * farthest;
      double scale = v + m * Math.sqrt(v) + rounding * m * m + shift;
      return new Statistics(mean, variance, m, scale, shift);
    }
  }

  /** What normalises a group: m, s and how far the means are from 0 in units of s. */
  private record Mixture(
      DoubleDouble d, DoubleDouble m, DoubleDouble s, double weight, double condition) {
    static Mixture alone(Statistics own, DoubleDouble epsilon, double weight, double share) {
      DoubleDouble s = own.variance.plus(epsilon).squareRoot();
      double condition = share * own.meanScale / s.value() + own.shiftScale / s.value() / s.value();
      return new Mixture(DoubleDouble.ZERO, own.mean, s, weight, condition);
    }
  }

  private void compute(int feature) {
    DoubleDouble gamma = parameter(c.gamma(), feature, DoubleDouble.ONE);
    DoubleDouble beta = parameter(c.beta(), feature, DoubleDouble.ZERO);
    Group reference = Group.of(
        ref,
        c.referencePadding(),
        feature,
        0,
        (int) ref.batch(),
        c.reference(),
        c.referenceUpstream());
    Statistics own = Statistics.of(reference.x, rounding);
    for (Quantity mean : new Quantity[] {Quantity.MEAN, Quantity.LONE_MEAN}) {
      expected.of(mean).set(feature, own.mean.value(), own.meanScale);
    }
    for (Quantity variance : new Quantity[] {Quantity.VARIANCE, Quantity.LONE_VARIANCE}) {
      expected.of(variance).set(feature, own.variance.value(), own.varianceScale);
    }
    Mixture pass = Mixture.alone(own, epsilon, c.attached() ? 1 : 0, share);
    normalize(reference, pass, gamma, beta, expected.of(Quantity.REFERENCE_OUTPUT));
    Sums total = new Sums();
    differentiate(reference, pass, gamma, expected.of(Quantity.REFERENCE_DX), total);
    total.put(feature, Quantity.REFERENCE_DGAMMA, Quantity.REFERENCE_DBETA, expected);

    Sums sums = new Sums();
    int examples = (int) live.batch() / groups();
    for (int i = 0; i < groups(); i++) {
      Group group =
          Group.of(live, c.padding(), feature, i * examples, examples, c.x(), c.upstream());
      if (group.x.length == 0) { // no part of the batch: it has no statistics
        int index = i * (int) live.features() + feature;
        expected.of(Quantity.LIVE_MEAN).set(index, Double.NaN, Values.NOTHING);
        expected.of(Quantity.LIVE_VARIANCE).set(index, Double.NaN, Values.NOTHING);
        continue;
      }
      Statistics of = Statistics.of(group.x, rounding);
      Mixture mixture = mix(own, of, i, feature);
      normalize(group, mixture, gamma, beta, expected.of(Quantity.OUTPUT));
      differentiate(group, mixture, gamma, expected.of(Quantity.DX), sums);
      differentiateTwice(group, mixture, of.mean, gamma, feature);
    }
    sums.put(feature, Quantity.DGAMMA, Quantity.DBETA, expected);
    if (c.attached()) {
      reach(reference, own, sums);
    }
  }

  private Mixture mix(Statistics own, Statistics of, int group, int feature) {
    DoubleDouble w = DoubleDouble.of(weight);
    DoubleDouble rest = DoubleDouble.ONE.minus(w);
    DoubleDouble d = of.mean.minus(own.mean);
    DoubleDouble m = own.mean.plus(w.times(d));
    DoubleDouble v = rest.times(own.variance)
        .plus(w.times(of.variance))
        .plus(w.times(rest).times(d).times(d));
    DoubleDouble s = v.plus(epsilon).squareRoot();
    boolean mixes = weight > 0;
    double means = own.meanScale + (mixes ? of.meanScale : 0);
    int index = group * (int) live.features() + feature;
    expected.of(Quantity.LIVE_MEAN).set(index, m.value(), means);
    double variances = own.varianceScale
        + (mixes ? of.varianceScale + 2 * weight * (1 - weight) * Math.abs(d.value()) * means : 0);
    expected.of(Quantity.LIVE_VARIANCE).set(index, v.value(), variances);
    double shifts = own.shiftScale + (mixes ? of.shiftScale : 0);
    return new Mixture(d, m, s, weight, share * means / s.value() + shifts / s.value() / s.value());
  }

  /** Sets xh of a group, once for all that is made of it. */
  private static void normalize(
      Group group, Mixture by, DoubleDouble gamma, DoubleDouble beta, Values output) {
    DoubleDouble slope = DoubleDouble.ONE.dividedBy(by.s);
    double largest = 1;
    for (int i = 0; i < group.x.length; i++) {
      DoubleDouble xh = DoubleDouble.of(group.x[i]).minus(by.m).times(slope);
      group.high[i] = xh.high();
      group.low[i] = xh.low();
      output.expected()[group.index[i]] = gamma.times(xh).plus(beta).value();
      largest = Math.max(largest, Math.abs(xh.value()));
    }
    double scale = Math.abs(gamma.value()) * largest * (1 + by.condition) + Math.abs(beta.value());
    for (int index : group.index) {
      output.scale()[index] = scale;
    }
  }

  /** The sums over the groups of a feature, and over the absolute values of their terms. */
  private static final class Sums {
    DoubleDouble dgamma = DoubleDouble.ZERO;
    DoubleDouble dbeta = DoubleDouble.ZERO;
    DoubleDouble dmr = DoubleDouble.ZERO;
    DoubleDouble dvr = DoubleDouble.ZERO;
    double dgammaScale;
    double dbetaScale;
    double dmrScale;
    double dvrScale;

    void put(int feature, Quantity gamma, Quantity beta, Expected expected) {
      expected.of(gamma).set(feature, dgamma.value(), dgammaScale);
      expected.of(beta).set(feature, dbeta.value(), dbetaScale);
    }
  }

  private void differentiate(Group group, Mixture by, DoubleDouble gamma, Values dx, Sums sums) {
    DoubleDouble a = DoubleDouble.ZERO;
    DoubleDouble b = DoubleDouble.ZERO;
    double absoluteA = 0;
    double absoluteB = 0;
    double largest = 1;
    double largestDy = 0;
    for (int i = 0; i < group.x.length; i++) {
      DoubleDouble dy = DoubleDouble.of(group.dy[i]);
      DoubleDouble xh = group.xh(i);
      a = a.plus(dy);
      b = b.plus(dy.times(xh));
      double size = Math.max(Math.abs(xh.value()), 1); // a rounded mean moves every xh alike
      absoluteA += Math.abs(group.dy[i]);
      absoluteB += Math.abs(group.dy[i]) * size;
      largest = Math.max(largest, size);
      largestDy = Math.max(largestDy, Math.abs(group.dy[i]));
    }
    double growth = growth(group.x.length, share);
    absoluteA *= growth;
    absoluteB *= growth;
    DoubleDouble factor = gamma.dividedBy(by.s);
    DoubleDouble ofWeight = DoubleDouble.of(by.weight).dividedBy(group.x.length);
    for (int i = 0; i < group.x.length; i++) {
      DoubleDouble xh = group.xh(i);
      DoubleDouble through = ofWeight.times(a.plus(xh.times(b)));
      dx.expected()[group.index[i]] =
          factor.times(DoubleDouble.of(group.dy[i]).minus(through)).value();
    }
    double reach = Math.abs(factor.value());
    double condition = 1 + by.condition;
    double scale =
        reach * condition * (largestDy + ofWeight.value() * (absoluteA + largest * absoluteB));
    for (int index : group.index) {
      dx.scale()[index] = scale;
    }
    DoubleDouble rest = DoubleDouble.ONE.minus(DoubleDouble.of(by.weight));
    DoubleDouble dm = factor.times(a).negated();
    DoubleDouble dv = factor.dividedBy(by.s).dividedBy(2).times(b).negated();
    DoubleDouble slant = DoubleDouble.of(2 * by.weight).times(rest).times(by.d);
    sums.dgamma = sums.dgamma.plus(b);
    sums.dbeta = sums.dbeta.plus(a);
    sums.dmr = sums.dmr.plus(rest.times(dm)).minus(slant.times(dv));
    sums.dvr = sums.dvr.plus(rest.times(dv));
    double absoluteDv = reach / (2 * by.s.value()) * absoluteB * condition;
    sums.dgammaScale += absoluteB * condition;
    sums.dbetaScale += absoluteA;
    // The difference of two means has the error of either.
    double d = Math.abs(by.d.value()) + by.condition * by.s.value();
    sums.dmrScale +=
        rest.value() * (reach * condition * absoluteA + 2 * by.weight * d * absoluteDv);
    sums.dvrScale += rest.value() * absoluteDv;
  }

  /**
   * The gradients of {@code L = sum(dx*v) + vgamma*B + vbeta*A}, by going back through every step
   * from x to L, one after another: a derivation that the closed formula does not come from.
   */
  private void differentiateTwice(
      Group group, Mixture by, DoubleDouble liveMean, DoubleDouble gamma, int feature) {
    int n = group.x.length;
    double[] v = Arrays.stream(group.index).mapToDouble(second.dx()::get).toArray();
    DoubleDouble vgamma = parameter(second.dgamma(), feature, DoubleDouble.ZERO);
    DoubleDouble vbeta = parameter(second.dbeta(), feature, DoubleDouble.ZERO);
    DoubleDouble factor = gamma.dividedBy(by.s);
    DoubleDouble share = DoubleDouble.of(by.weight).dividedBy(n);
    DoubleDouble a = DoubleDouble.ZERO;
    DoubleDouble b = DoubleDouble.ZERO;
    for (int i = 0; i < n; i++) {
      a = a.plus(DoubleDouble.of(group.dy[i]));
      b = b.plus(group.xh(i).times(group.dy[i]));
    }
    // Forward, dx[i] = factor*inner[i] with inner[i] = dy[i] - share*t[i] and t[i] = A + xh[i]*B.
    // Back from it, x_ stands for the derivative of L by x.
    DoubleDouble factor_ = DoubleDouble.ZERO;
    DoubleDouble a_ = vbeta;
    DoubleDouble b_ = vgamma;
    for (int i = 0; i < n; i++) {
      DoubleDouble t = a.plus(group.xh(i).times(b));
      DoubleDouble inner = DoubleDouble.of(group.dy[i]).minus(share.times(t));
      factor_ = factor_.plus(inner.times(v[i]));
      DoubleDouble t_ = factor.times(v[i]).times(share).negated();
      a_ = a_.plus(t_);
      b_ = b_.plus(t_.times(group.xh(i)));
    }
    DoubleDouble[] x_ = new DoubleDouble[n];
    DoubleDouble m_ = DoubleDouble.ZERO;
    DoubleDouble s_ = factor_.times(factor).dividedBy(by.s).negated();
    Values upstreams = expected.of(Quantity.SECOND_UPSTREAM);
    for (int i = 0; i < n; i++) {
      DoubleDouble xh = group.xh(i);
      DoubleDouble dy_ = factor.times(v[i]).plus(a_).plus(b_.times(xh));
      upstreams.expected()[group.index[i]] = dy_.value();
      DoubleDouble t_ = factor.times(v[i]).times(share).negated();
      DoubleDouble xh_ = t_.times(b).plus(b_.times(group.dy[i]));
      x_[i] = xh_.dividedBy(by.s);
      m_ = m_.minus(x_[i]);
      s_ = s_.minus(x_[i].times(xh));
    }
    // s = sqrt(v + epsilon), v = ... + w*va + w*(1-w)*d*d, m = mr + w*d, d = ma - mr.
    DoubleDouble w = DoubleDouble.of(by.weight);
    DoubleDouble v_ = s_.dividedBy(by.s).dividedBy(2);
    DoubleDouble rest = DoubleDouble.ONE.minus(w);
    DoubleDouble d_ = w.times(m_).plus(w.times(rest).times(by.d).times(v_).times(2));
    DoubleDouble va_ = w.times(v_);
    Values inputs = expected.of(Quantity.SECOND_X);
    for (int i = 0; i < n; i++) {
      DoubleDouble deviation = DoubleDouble.of(group.x[i]).minus(liveMean);
      DoubleDouble through = deviation.times(va_).times(2).plus(d_).dividedBy(n);
      inputs.expected()[group.index[i]] = x_[i].plus(through).value();
    }
    scaleTwice(group, v, by, gamma.value(), vgamma.value(), vbeta.value());
    Values gammas = expected.of(Quantity.SECOND_GAMMA);
    gammas.expected()[feature] += factor_.dividedBy(by.s).value();
  }

  /** The same with every term taken as large as it can be. */
  private void scaleTwice(
      Group group, double[] v, Mixture by, double gamma, double vgamma, double vbeta) {
    double a = 0;
    double b = 0;
    double absoluteV = 0;
    double w = 0;
    double d = 0;
    double largest = 1;
    double largestDy = 0;
    double largestV = 0;
    for (int i = 0; i < v.length; i++) {
      double size = Math.max(Math.abs(group.xh(i).value()), 1);
      double dy = Math.abs(group.dy[i]);
      double each = Math.abs(v[i]);
      a += dy;
      b += dy * size;
      absoluteV += each;
      w += each * size;
      d += dy * each;
      largest = Math.max(largest, size);
      largestDy = Math.max(largestDy, dy);
      largestV = Math.max(largestV, each);
    }
    double growth = growth(v.length, this.share);
    a *= growth;
    b *= growth;
    absoluteV *= growth;
    w *= growth;
    d *= growth;
    double s = by.s.value();
    double condition = 1 + by.condition;
    double share = by.weight / v.length;
    double factor = Math.abs(gamma) / s;
    double cross = Math.abs(vgamma) + share * factor * w;
    double sum = Math.abs(vgamma) * a + share * factor * (a * w + b * absoluteV);
    double q = d + share * (a * absoluteV + b * w);
    double sumWithInput = Math.abs(vgamma) * b + 2 * share * factor * b * w + factor * q;
    double input =
        cross * largestDy + share * factor * b * largestV + share * (sum + largest * sumWithInput);
    double upstream =
        factor * largestV + largest * cross + Math.abs(vbeta) + share * factor * absoluteV;
    for (int index : group.index) {
      expected.of(Quantity.SECOND_X).scale()[index] = condition * input / s;
      expected.of(Quantity.SECOND_UPSTREAM).scale()[index] = condition * upstream;
    }
    int feature = (int) (group.index[0] / live.after() % live.features());
    expected.of(Quantity.SECOND_GAMMA).scale()[feature] += condition * q / s;
  }

  private void reach(Group reference, Statistics own, Sums sums) {
    double elements = c.ofReference().elements();
    DoubleDouble constant = sums.dmr.dividedBy(elements);
    DoubleDouble slope = sums.dvr.times(2).dividedBy(elements);
    Values dr = expected.of(Quantity.DREFERENCE);
    double farthest = 0;
    for (int i = 0; i < reference.x.length; i++) {
      DoubleDouble deviation = DoubleDouble.of(reference.x[i]).minus(own.mean);
      dr.expected()[reference.index[i]] = constant.plus(slope.times(deviation)).value();
      farthest = Math.max(farthest, Math.abs(deviation.value()));
    }
    double scale = (sums.dmrScale + 2 * (farthest + own.meanScale) * sums.dvrScale) / elements;
    for (int index : reference.index) {
      dr.scale()[index] = scale;
    }
  }

  private static DoubleDouble parameter(
      @Nullable HostTensor parameter, int feature, DoubleDouble absent) {
    return parameter == null ? absent : DoubleDouble.of(parameter.get(feature));
  }
}
