package com.example.nio;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Scope;
import java.util.function.IntToDoubleFunction;

/**
 * A batch in groups: the elements that share one mean and one variance. A group is a feature of the
 * whole batch, or of one example in {@link Scope#EXAMPLE}; group g is of feature {@code g %
 * features}.
 */
final class Groups {
  final int features;
  final int count;
  final double elements; // in each group
  final double[] d; // live mean minus reference mean
  final double[] m; // mixed mean
  final double[] v; // mixed variance
  final double[] s; // mixed deviation
  private final NioTensor x;
  private final Geometry geometry;
  private final Scope scope;

  /** The groups of {@code x}, with {@code reference} mixed in; it is null in the reference pass. */
  Groups(NioTensor x, Normalization how, Moments<NioTensor> reference) {
    this.x = x;
    geometry = how.geometry();
    scope = how.scope();
    features = (int) geometry.features();
    count = scope == Scope.EXAMPLE ? (int) geometry.batch() * features : features;
    elements = (double) geometry.size() / count;
    d = new double[count];
    m = new double[count];
    v = new double[count];
    s = new double[count];
    if (scope != Scope.NONE) {
      takeLiveStatistics();
    }
    if (reference != null) {
      mix(how.weight(), reference);
    }
    for (int g = 0; g < count; g++) {
      s[g] = Math.sqrt(v[g] + how.epsilon());
    }
  }

  /** In two passes: {@code E[x^2] - m^2} would cancel. */
  private void takeLiveStatistics() {
    double[] sums = sums(x::get);
    for (int g = 0; g < count; g++) {
      m[g] = sums[g] / elements;
    }
    double[] squares = sums(i -> (x.get(i) - m[of(i)]) * (x.get(i) - m[of(i)]));
    for (int g = 0; g < count; g++) {
      v[g] = squares[g] / elements;
    }
  }

  private void mix(double w, Moments<NioTensor> reference) {
    for (int g = 0; g < count; g++) {
      double mr = reference.mean().get(g % features);
      double vr = reference.variance().get(g % features);
      if (w == 0) { // there are no live statistics
        m[g] = mr;
        v[g] = vr;
      } else {
        d[g] = m[g] - mr;
        m[g] = mr + w * d[g];
        v[g] = (1 - w) * vr + w * v[g] + w * (1 - w) * d[g] * d[g];
      }
    }
  }

  /** The group of element i. */
  int of(int i) {
    int feature = (int) (i / geometry.after() % features);
    int example = (int) (i / (geometry.size() / geometry.batch()));
    return scope == Scope.EXAMPLE ? example * features + feature : feature;
  }

  /** Element i, normalised. */
  double xh(int i) {
    return (x.get(i) - m[of(i)]) / s[of(i)];
  }

  /** A sum over each group, by Kahan's method: in FLOAT64 a plain sum of many is not accurate. */
  double[] sums(IntToDoubleFunction term) {
    double[] sums = new double[count];
    double[] excess = new double[count];
    for (int i = 0; i < geometry.size(); i++) {
      int g = of(i);
      double t = term.applyAsDouble(i) - excess[g];
      double sum = sums[g] + t;
      excess[g] = sum - sums[g] - t;
      sums[g] = sum;
    }
    return sums;
  }
}
