package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import dev.vbn.spi.Mixture;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A batch as {@code scale * x - shift}, with a scale and a shift for each group, such that
 * arithmetic of the batch's own width is enough: squares neither overflow nor vanish, and the mean
 * is no more than a few deviations away from 0.
 *
 * <p>Both are constants, and the scale a power of two, so nothing is lost, and for most batches they
 * are 1 and 0 and cost nothing. Each group has its own: what is in another group changes no bit of
 * it.
 */
final class Centered {
  /**
   * Plain sums, and {@code a*x + b}, are accurate up to this many deviations between mean and 0.
   * Squares around 0 lose as many roundings as the mean has squared deviations: normalised groups
   * of 2 to 256 elements were off by 4 to 9 units of 2^-24 here, by 20 at 2 deviations, by 90 at 4.
   */
  static final double NEAR = 1;

  private final Workspace work;
  private final Layout layout;
  private final DataType type;
  private final NDArray raw;
  private final NDArray values;
  private final double @Nullable [] scales;
  private final double @Nullable [] shifts;

  private Centered(
      Workspace work,
      Layout layout,
      NDArray raw,
      NDArray values,
      double @Nullable [] scales,
      double @Nullable [] shifts) {
    this.work = work;
    this.layout = layout;
    type = raw.getDataType();
    this.raw = raw;
    this.values = values;
    this.scales = scales;
    this.shifts = shifts;
  }

  /** The batch as it is, in 32 or 64 bits. */
  static Centered of(Workspace work, Layout layout, NDArray view) {
    NDArray raw = work.widen(
        view, view.getDataType() == DataType.FLOAT64 ? DataType.FLOAT64 : DataType.FLOAT32);
    return new Centered(work, layout, raw, raw, null, null);
  }

  /** The same batch with another scale and shift; this must not be used afterwards. */
  Centered at(double[] newScales, double[] newShifts) {
    double[] scaling = unlessAll(1, newScales);
    double[] shifting = unlessAll(0, newShifts);
    if (Arrays.equals(scaling, scales) && Arrays.equals(shifting, shifts)) {
      return this;
    }
    if (scales != null || shifts != null) {
      values.close();
    }
    NDArray placed = scaling == null ? raw : raw.mul(spread(scaling));
    if (shifting != null) {
      placed = work.sub(placed, scaling != null, spread(shifting));
    }
    return new Centered(work, layout, raw, placed, scaling, shifting);
  }

  private static double @Nullable [] unlessAll(double neutral, double[] values) {
    for (double value : values) {
      if (value != neutral) {
        return values;
      }
    }
    return null;
  }

  /**
   * The same batch, placed so that {@code means} are near 0: this, where it is so placed already.
   * This must not be used afterwards.
   *
   * @param deviations the unit of the results
   * @param distances how far from 0 a mean may be
   */
  Centered around(double[] means, double[] deviations, double[] distances) {
    double[] newScales = new double[means.length];
    double[] newShifts = new double[means.length];
    for (int i = 0; i < means.length; i++) {
      double reach = Math.max(Math.abs(means[i]), deviations[i]);
      double scale = scale(i);
      double shift = shift(i);
      if (isOutOfRange(reach * scale * (reach * scale))) {
        scale = scaleFor(reach);
        shift = scale == scale(i) ? shift : 0;
      }
      double mean = means[i] * scale;
      boolean far = !(Math.abs(mean - shift) <= distances[i] * scale) && Double.isFinite(mean);
      newScales[i] = scale;
      newShifts[i] = far ? round(mean) : shift;
    }
    return at(newScales, newShifts);
  }

  double scale(int group) {
    return scales == null ? 1 : scales[group];
  }

  double shift(int group) {
    return shifts == null ? 0 : shifts[group];
  }

  private boolean isNarrow() {
    return type == DataType.FLOAT32;
  }

  /** To the type of the values. */
  double round(double value) {
    return isNarrow() ? (float) value : value;
  }

  /** Whether squares of this mean, or of what is a 24th or 53rd binary digit of it, are inexact. */
  boolean isOutOfRange(double square) {
    return !(isNarrow() ? square >= 1e-20 && square <= 1e30 : square >= 1e-250 && square <= 1e290);
  }

  /** The power of two that brings {@code largest} close to 1; 1 for 0 or NaN. */
  double scaleFor(double largest) {
    if (!(largest > 0)) {
      return 1;
    }
    int exponent = -Math.getExponent(largest);
    return Math.scalb(1.0, Math.max(-largestExponent(), Math.min(largestExponent(), exponent)));
  }

  /** The largest exponent of a power of two that has an inverse. */
  private int largestExponent() {
    return isNarrow() ? 126 : 1022;
  }

  /** A value per group as an operand next to the values. */
  NDArray spread(double[] perGroup) {
    return layout.spread(work.constant(perGroup, layout.groupShape(), type));
  }

  /**
   * The product with a factor per group: in steps where a factor is beyond the range of the values'
   * type but the product is not.
   *
   * @param expendable whether {@code array} may be overwritten
   */
  NDArray times(NDArray array, boolean expendable, double[] factors) {
    double[] rest = factors.clone();
    int[] exponents = new int[rest.length];
    for (int i = 0; i < rest.length; i++) {
      exponents[i] = Double.isFinite(rest[i]) ? Math.getExponent(rest[i]) : 0;
    }
    NDArray product = array;
    boolean ours = expendable;
    for (double[] steps = factors(exponents); steps != null; steps = factors(exponents)) {
      product = work.mul(product, ours, spread(steps));
      ours = true;
      for (int i = 0; i < rest.length; i++) {
        rest[i] /= steps[i];
      }
    }
    return work.mul(product, ours, spread(rest));
  }

  private NDArray wide(double[] perGroup) {
    return work.constant(perGroup, layout.groupShape(), DataType.FLOAT64);
  }

  /** The values. */
  NDArray values() {
    return values;
  }

  /** Type of the values. */
  DataType type() {
    return type;
  }

  /** {@code perGroup}, a place among the values, as one in the batch. */
  NDArray place(NDArray perGroup) {
    NDArray shifted = shifts == null ? perGroup : perGroup.add(wide(shifts));
    return perScale(shifted);
  }

  /** {@code perGroup} divided by the scale: a distance between values as one in the batch. */
  NDArray perScale(NDArray perGroup) {
    return scales == null ? perGroup : perGroup.div(wide(scales));
  }

  /** How far {@code perGroup}, a place in the batch, is from where the values are 0. */
  NDArray fromOrigin(NDArray perGroup) {
    if (shifts == null) {
      return perGroup;
    }
    double[] origins = new double[shifts.length];
    Arrays.setAll(origins, this::origin);
    return perGroup.sub(wide(origins));
  }

  /** Where in the batch the values are 0. */
  double origin(int group) {
    return shift(group) / scale(group);
  }

  /**
   * {@code sum(dy * (x - m))} of each group, with terms around m itself: around any other place
   * they cancel where those are small.
   *
   * @param sums {@code sum(dy)}
   */
  double[] sumsAround(Mixture[] groups, NDArray dy, double[] sums) {
    double[] distances = new double[groups.length];
    double[] steps = new double[groups.length];
    for (int i = 0; i < steps.length; i++) {
      distances[i] = groups[i].mean() * scale(i) - shift(i);
      steps[i] = Double.isFinite(distances[i]) ? round(distances[i]) : 0;
    }
    NDArray products = unlessAll(0, steps) == null
        ? dy.mul(values)
        : work.mul(values.sub(spread(steps)), true, dy);
    double[] around = layout.sum(work, products).toDoubleArray();
    products.close();
    for (int i = 0; i < around.length; i++) {
      around[i] = (around[i] - sums[i] * (distances[i] - steps[i])) / scale(i);
    }
    return around;
  }

  /**
   * {@code slope * (x - origin) + constant}, of the type of the values.
   *
   * @param sizes a size of each slope
   */
  NDArray line(NDArray slope, NDArray constant, double[] sizes) {
    Stretched stretched = stretched(sizes);
    NDArray steep = stretched.steepness == null ? slope : slope.div(wide(stretched.steepness));
    return layout.line(work, stretched.values, work.cast(steep, type), work.cast(constant, type));
  }

  /** The same for constants. */
  NDArray line(double[] slopes, double[] constants) {
    Stretched stretched = stretched(slopes);
    double[] steep = slopes.clone();
    if (stretched.steepness != null) {
      for (int i = 0; i < steep.length; i++) {
        steep[i] /= stretched.steepness[i];
      }
    }
    return layout.line(
        work,
        stretched.values,
        work.constant(steep, layout.groupShape(), type),
        work.constant(constants, layout.groupShape(), type));
  }

  /** {@code values = steepness * (x - origin)}. */
  private record Stretched(NDArray values, double @Nullable [] steepness) {}

  /**
   * The values stretched, if the slopes against them are too large for their type: infinity times 0
   * is not 0.
   */
  private Stretched stretched(double[] slopes) {
    int[] exponents = new int[slopes.length];
    for (int i = 0; i < slopes.length; i++) {
      double size = Math.abs(slopes[i]);
      exponents[i] = size > 0 && size < Double.POSITIVE_INFINITY
          ? Math.getExponent(size) - Math.getExponent(scale(i))
          : 0;
    }
    NDArray stretched = values;
    double[] steepness = scales;
    double[] factors = factors(exponents);
    while (factors != null) {
      stretched = stretched.mul(spread(factors));
      steepness = steepness == null ? factors : product(steepness, factors);
      factors = factors(exponents);
    }
    return new Stretched(stretched, steepness);
  }

  private double @Nullable [] factors(int[] exponents) {
    int limit = largestExponent() - 30; // leaves room for gamma
    double[] factors = new double[exponents.length];
    for (int i = 0; i < exponents.length; i++) {
      int exponent = exponents[i] > limit ? Math.min(exponents[i], largestExponent()) : 0;
      exponents[i] -= exponent;
      factors[i] = Math.scalb(1.0, exponent);
    }
    return unlessAll(1, factors);
  }

  private static double[] product(double[] left, double[] right) {
    double[] product = left.clone();
    for (int i = 0; i < product.length; i++) {
      product[i] *= right[i];
    }
    return product;
  }
}
