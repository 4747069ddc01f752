package dev.vbn.kernels;

import java.util.Arrays;

/**
 * Sums over elements of each feature of a tile, of the deviations {@code d = x - shift} and of the
 * upstream gradient dy: what statistics and gradients are made of.
 *
 * <p>All parts of a group share the shift of a feature, an estimate of its mean, so that their sums
 * are added as they are.
 */
final class Sums {
  /** The smallest shift whose last place has a square in 32 bits. */
  private static final double SMALLEST = 0x1p-50;

  double[] shift = {};
  double[] sum = {};
  double[] squares = {};
  double[] upstream = {};

  /** Of {@code dy*(x - center)}. */
  double[] deviation = {};

  /**
   * Given from outside: the mean may be far from all elements whose upstream gradient is not 0,
   * which would then be lost in what moves their sum.
   */
  double[] center = {};

  /** Of each feature, once {@link #finish finished}; the variance is biased. */
  double[] mean = {};

  double[] variance = {};

  /** Elements of each feature. */
  private double count;

  private boolean wide;

  /** 1/count: 64 more divisions took a fifth of the time of (8, 64). */
  private double share;

  void clear(int features, double count, boolean wide) {
    this.count = count;
    this.wide = wide;
    share = 1 / count;
    if (sum.length < features) {
      // A little off a power of two: loads from one array must not look like what was just stored
      // to another.
      int length = features + 24;
      shift = new double[length];
      sum = new double[length];
      squares = new double[length];
      upstream = new double[length];
      deviation = new double[length];
      center = new double[length];
      mean = new double[length];
      variance = new double[length];
      return;
    }
    Arrays.fill(sum, 0, features, 0);
    Arrays.fill(squares, 0, features, 0);
    Arrays.fill(upstream, 0, features, 0);
    Arrays.fill(deviation, 0, features, 0);
  }

  /** Makes these the sums over nothing, around the same shifts and centers as {@code group}. */
  void beginPart(Sums group, int features) {
    clear(features, group.count, group.wide);
    System.arraycopy(group.shift, 0, shift, 0, features);
    System.arraycopy(group.center, 0, center, 0, features);
  }

  /** Sums over nothing, around the same shifts and centers. */
  Sums ofPart(int features) {
    Sums part = new Sums();
    part.beginPart(this, features);
    return part;
  }

  void add(Sums part, int features) {
    for (int i = 0; i < features; i++) {
      sum[i] += part.sum[i];
      squares[i] += part.squares[i];
      upstream[i] += part.upstream[i];
      deviation[i] += part.deviation[i];
    }
  }

  /** Makes mean and variance of what has been summed. */
  void finish(int features) {
    for (int i = 0; i < features; i++) {
      double d = sum[i] * share;
      mean[i] = shift[i] + d;
      variance[i] = Math.max(0, squares[i] * share - d * d);
    }
  }

  /** Whether they are summed in 64 bits from 32: then no shift is far, and nothing overflows. */
  boolean areWide() {
    return wide;
  }

  double count() {
    return count;
  }

  /**
   * Whether all deviations are 0: squares alone may have been lost to underflow, but not where the
   * last place of the shift has a square.
   */
  boolean areZero(int feature) {
    return squares[feature] == 0 && (count == 1 || Math.abs(shift[feature]) > SMALLEST);
  }

  /** Whether more than half of the squares is the distance of the shift from the mean. */
  boolean isFar(int feature) {
    return sum[feature] * sum[feature] > squares[feature] * (0.5 * count);
  }
}
