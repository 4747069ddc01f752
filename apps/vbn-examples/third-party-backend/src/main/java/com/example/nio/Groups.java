package com.example.nio;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Mixture;
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
  final double[] mean; // of the live batch, as is the variance; zeros in Scope.NONE
  final double[] variance;
  private final Geometry geometry;
  private final Scope scope;

  Groups(NioTensor x, Geometry geometry, Scope scope) {
    this.geometry = geometry;
    this.scope = scope;
    features = (int) geometry.features();
    count = scope == Scope.EXAMPLE ? (int) geometry.batch() * features : features;
    mean = new double[count];
    variance = new double[count];
    if (scope != Scope.NONE) {
      takeStatistics(x);
    }
  }

  /** In two passes: {@code E[x^2] - m^2} would cancel. */
  private void takeStatistics(NioTensor x) {
    double elements = (double) geometry.size() / count; // in each group
    double[] sums = sums(x::get);
    for (int g = 0; g < count; g++) {
      mean[g] = sums[g] / elements;
    }
    double[] squares = sums(i -> (x.get(i) - mean[of(i)]) * (x.get(i) - mean[of(i)]));
    for (int g = 0; g < count; g++) {
      variance[g] = squares[g] / elements;
    }
  }

  /** The statistics that normalise each group: its own, mixed with those of the reference batch. */
  Mixture[] mix(Normalization how, Moments<NioTensor> reference) {
    Mixture[] mixtures = new Mixture[count];
    for (int g = 0; g < count; g++) {
      double mr = reference.mean().get(g % features);
      double vr = reference.variance().get(g % features);
      mixtures[g] = how.mix(mr, vr, mean[g], variance[g]);
    }
    return mixtures;
  }

  /** The group of element i. */
  int of(int i) {
    int feature = (int) (i / geometry.after() % features);
    int example = (int) (i / (geometry.size() / geometry.batch()));
    return scope == Scope.EXAMPLE ? example * features + feature : feature;
  }

  /** A sum over each group, by Kahan's method: in FLOAT64 a plain sum of many is not accurate. */
  double[] sums(IntToDoubleFunction term) {
    double[] sums = new double[count];
    double[] excess = new double[count];
    for (int i = 0; i < geometry.size(); i++) {
      int g = of(i);
      double t = term.applyAsDouble(i) - excess[g];
      double sum = sums[g] + t;
      excess[g] = Double.isInfinite(sum) ? 0 : sum - sums[g] - t; // infinity less itself is NaN
      sums[g] = sum;
    }
    return sums;
  }
}
