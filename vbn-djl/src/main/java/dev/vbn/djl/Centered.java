package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import org.jspecify.annotations.Nullable;

/**
 * A batch as {@code scale * x - shift}, with a scale and a shift for each group, such that
 * arithmetic of the batch's own width is enough: squares neither overflow nor vanish, and the mean
 * is no more than a few deviations away from 0.
 *
 * <p>Both are constants, exact, and the scale a power of two, so nothing is lost, and for most
 * batches they are 1 and 0 and cost nothing. A group has them for itself: what is in another group
 * changes no bit of it.
 */
final class Centered {
  /** Up to so many deviations between mean and 0 the plain sums are accurate. */
  private static final double NEAR = 4;

  private final Workspace work;
  private final Layout layout;
  private final DataType type;
  private final boolean constantStatistics;
  private NDArray values;
  private boolean own;
  private double @Nullable [] scales;
  private double @Nullable [] shifts;
  private @Nullable NDArray mean;
  private @Nullable NDArray square;

  private Centered(Workspace work, Layout layout, NDArray view, boolean constantStatistics) {
    this.work = work;
    this.layout = layout;
    this.constantStatistics = constantStatistics;
    type = view.getDataType() == DataType.FLOAT64 ? DataType.FLOAT64 : DataType.FLOAT32;
    values = work.widen(view, type);
    own = view.getDataType() != type;
  }

  /**
   * Around its own statistics.
   *
   * @param constant whether the statistics are to be constants to automatic differentiation
   */
  static Centered onItself(Workspace work, Layout layout, NDArray view, boolean constant) {
    Centered centered = new Centered(work, layout, view, constant);
    centered.findScaleAndShift();
    return centered;
  }

  /** Around given statistics; it has none of its own. */
  static Centered on(
      Workspace work, Layout layout, NDArray view, double[] means, double[] deviations) {
    Centered centered = new Centered(work, layout, view, false);
    double[] found = centered.scalesFor(means, deviations);
    centered.scale(found);
    centered.shift(centered.shiftsFor(product(means, found), product(deviations, found)));
    return centered;
  }

  private void findScaleAndShift() {
    NDArray meanOfValues = measure();
    double[] squares = squares();
    if (anyOutOfRange(squares)) {
      double[] found = scalesFor(squares);
      if (found != null) {
        scale(found);
        meanOfValues = measure();
        squares = squares();
      }
    }
    double[] means = meanOfValues.toDoubleArray();
    double[] deviations = new double[means.length];
    for (int i = 0; i < means.length; i++) {
      deviations[i] = Math.sqrt(Math.max(squares[i] - means[i] * means[i], 0));
    }
    double[] found = shiftsFor(means, deviations);
    if (found != null) {
      shift(found);
      measure();
    }
  }

  private NDArray measure() {
    NDArray source = constantStatistics ? values.stopGradient() : values;
    NDArray elements = work.constant((double) layout.elements());
    NDArray found = layout.sum(work, source).div(elements);
    mean = found;
    square = layout.sumOfSquares(work, source).div(elements);
    return found;
  }

  private double[] squares() {
    return square().toDoubleArray();
  }

  private NDArray square() {
    return measured(square);
  }

  private static NDArray measured(@Nullable NDArray statistic) {
    if (statistic == null) {
      throw new IllegalStateException("statistics of a batch that is not centered on its own");
    }
    return statistic;
  }

  private boolean isNarrow() {
    return type == DataType.FLOAT32;
  }

  private boolean anyOutOfRange(double[] squares) {
    for (double value : squares) {
      if (outOfRange(value)) {
        return true;
      }
    }
    return false;
  }

  /** Whether squares of this mean, or of what is a 24th or 53rd binary digit of it, are inexact. */
  private boolean outOfRange(double square) {
    return !(isNarrow() ? square >= 1e-20 && square <= 1e30 : square >= 1e-250 && square <= 1e290);
  }

  private double @Nullable [] scalesFor(double[] squares) {
    double[] largest = work.wide(layout.max(values.stopGradient().abs())).toDoubleArray();
    double[] found = new double[squares.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = outOfRange(squares[i]) ? scaleFor(largest[i]) : 1;
    }
    return unlessAll(1, found);
  }

  private double @Nullable [] scalesFor(double[] means, double[] deviations) {
    double[] found = new double[means.length];
    for (int i = 0; i < found.length; i++) {
      double reach = Math.max(Math.abs(means[i]), deviations[i]);
      found[i] = outOfRange(reach * reach) ? scaleFor(reach) : 1;
    }
    return unlessAll(1, found);
  }

  /** The power of two that brings {@code largest} close to 1; 1 for what is 0 or not finite. */
  private double scaleFor(double largest) {
    if (!(largest > 0 && largest < Double.POSITIVE_INFINITY)) {
      return 1;
    }
    int limit = isNarrow() ? 126 : 1022;
    int exponent = -Math.getExponent(largest);
    return Math.scalb(1.0, Math.max(-limit, Math.min(limit, exponent)));
  }

  /** Shifts for values of these means and deviations. */
  private double @Nullable [] shiftsFor(double[] means, double[] deviations) {
    double[] found = new double[means.length];
    for (int i = 0; i < found.length; i++) {
      boolean far = Math.abs(means[i]) > NEAR * deviations[i] && Double.isFinite(means[i]);
      found[i] = far ? (isNarrow() ? (float) means[i] : means[i]) : 0;
    }
    return unlessAll(0, found);
  }

  private static double[] product(double[] values, double @Nullable [] factors) {
    if (factors == null) {
      return values;
    }
    double[] products = values.clone();
    for (int i = 0; i < products.length; i++) {
      products[i] *= factors[i];
    }
    return products;
  }

  private static double @Nullable [] unlessAll(double neutral, double[] values) {
    for (double value : values) {
      if (value != neutral) {
        return values;
      }
    }
    return null;
  }

  private void scale(double @Nullable [] found) {
    if (found != null) {
      scales = found;
      values = work.mul(values, own, spread(found));
      own = true;
    }
  }

  private void shift(double @Nullable [] found) {
    if (found != null) {
      shifts = found;
      values = work.sub(values, own, spread(found));
      own = true;
    }
  }

  private NDArray spread(double[] perGroup) {
    return layout.spread(work.constant(perGroup, layout.groupShape(), type));
  }

  /** Mean of each group of the batch. */
  NDArray mean() {
    NDArray result = measured(mean);
    if (shifts != null) {
      result = result.add(work.constant(shifts, layout.groupShape(), DataType.FLOAT64));
    }
    return perScale(result);
  }

  /** Biased variance of each group of the batch. */
  NDArray variance() {
    NDArray result = square().sub(measured(mean).square());
    if (shifts != null) {
      // Around a shift the mean of a constant group is not quite 0.
      result = result.maximum(work.constant(0));
    }
    return perScale(perScale(result));
  }

  /** {@code perGroup} divided by the scale: a slope against the values of the batch. */
  private NDArray perScale(NDArray perGroup) {
    return scales == null
        ? perGroup
        : perGroup.div(work.constant(scales, layout.groupShape(), DataType.FLOAT64));
  }

  /** How far {@code perGroup}, a place on the scale of the batch, is from where the values are 0. */
  NDArray fromOrigin(NDArray perGroup) {
    if (shifts == null) {
      return perGroup;
    }
    double[] origins = shifts.clone();
    if (scales != null) {
      for (int i = 0; i < origins.length; i++) {
        origins[i] /= scales[i];
      }
    }
    return perGroup.sub(work.constant(origins, layout.groupShape(), DataType.FLOAT64));
  }

  /** {@code slope * (x - origin) + constant}, of the work type. */
  NDArray line(NDArray slope, NDArray constant) {
    return layout.line(work, values, work.cast(perScale(slope), type), work.cast(constant, type));
  }

  /** {@code sum(dy * (x - origin))} of each group. */
  NDArray sumWith(NDArray upstream) {
    NDArray products = upstream.mul(values);
    NDArray sums = perScale(layout.sum(work, products));
    products.close();
    return sums;
  }

  /** A value per group as an operand beside the values. */
  NDArray perElement(NDArray perGroup) {
    return layout.spread(work.cast(perGroup, type));
  }

  /** Type of the arithmetic. */
  DataType type() {
    return type;
  }
}
