package com.example.tensorflow;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Scope;
import org.jspecify.annotations.Nullable;
import org.tensorflow.Operand;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.op.Ops;
import org.tensorflow.op.core.Sum;
import org.tensorflow.types.TFloat64;

/**
 * {@link Normalization} in operations of TensorFlow, in 64 bits, on batches of shape {@code [batch,
 * before, features, after]}. A group is the elements that share one mean and variance; what there
 * is one of for each group has length 1 along the axes of the group's elements.
 */
final class Formulas {
  /** What normalises each group. */
  record Mixed(
      @Nullable Operand<TFloat64> difference,
      Operand<TFloat64> mean,
      Operand<TFloat64> deviation) {}

  private final Ops tf;
  private final Geometry geometry;
  private final Scope scope;

  Formulas(Ops tf, Geometry geometry, Scope scope) {
    this.tf = tf;
    this.geometry = geometry;
    this.scope = scope;
  }

  Operand<TFloat64> constant(double value) {
    return tf.constant(value);
  }

  Operand<TFloat64> view(Operand<TFloat64> batch) {
    return reshaped(
        batch, geometry.batch(), geometry.before(), geometry.features(), geometry.after());
  }

  Operand<TFloat64> perFeature(Operand<TFloat64> parameter) {
    return reshaped(parameter, 1, 1, geometry.features(), 1);
  }

  Operand<TFloat64> reshaped(Operand<TFloat64> x, long... shape) {
    return tf.reshape(x, tf.constant(Shape.of(shape)));
  }

  /** The sum over each group. The runs first: little is then left to add one by one. */
  Operand<TFloat64> sum(Operand<TFloat64> x) {
    Operand<TFloat64> sum = along(along(x, 3), 1);
    return scope == Scope.EXAMPLE ? sum : along(sum, 0);
  }

  /** Over the groups of a feature, as a tensor of one value for each. */
  Operand<TFloat64> total(Operand<TFloat64> perGroup) {
    return reshaped(scope == Scope.EXAMPLE ? along(perGroup, 0) : perGroup, geometry.features());
  }

  private Operand<TFloat64> along(Operand<TFloat64> x, int axis) {
    return tf.sum(x, tf.constant(axis), Sum.keepDims(true));
  }

  private double elements() {
    return scope == Scope.EXAMPLE ? geometry.positions() : geometry.elementsPerFeature();
  }

  /** The mean of what is left takes off its rounding. */
  Operand<TFloat64> mean(Operand<TFloat64> x) {
    Operand<TFloat64> mean = tf.math.div(sum(x), constant(elements()));
    Operand<TFloat64> rest = tf.math.div(sum(tf.math.sub(x, mean)), constant(elements()));
    // Infinite where the batch is; then the rest is no number.
    return tf.math.add(mean, tf.select(tf.math.isFinite(rest), rest, tf.zerosLike(rest)));
  }

  /** Around the mean: {@code E[x^2] - m^2} would cancel. */
  Operand<TFloat64> variance(Operand<TFloat64> x, Operand<TFloat64> mean) {
    return tf.math.div(sum(tf.math.square(tf.math.sub(x, mean))), constant(elements()));
  }

  /** As {@link Normalization#mix} does: at weight 0 and 1 one of the two must not show at all. */
  Mixed mix(
      Normalization how,
      Operand<TFloat64> x,
      @Nullable Operand<TFloat64> mr,
      @Nullable Operand<TFloat64> vr) {
    double w = how.weight();
    if (w == 0 && mr != null && vr != null) {
      return new Mixed(null, mr, deviation(vr, how));
    }
    Operand<TFloat64> ma = mean(x);
    Operand<TFloat64> va = variance(x, ma);
    if (w == 1 || mr == null || vr == null) {
      return new Mixed(null, ma, deviation(va, how));
    }
    Operand<TFloat64> d = tf.math.sub(ma, mr);
    Operand<TFloat64> v = tf.math.add(
        tf.math.add(times(1 - w, vr), times(w, va)), times(w * (1 - w), tf.math.square(d)));
    return new Mixed(d, tf.math.add(mr, times(w, d)), deviation(v, how));
  }

  private Operand<TFloat64> deviation(Operand<TFloat64> variance, Normalization how) {
    return tf.math.sqrt(tf.math.add(variance, constant(how.epsilon())));
  }

  Operand<TFloat64> times(double factor, Operand<TFloat64> x) {
    return tf.math.mul(constant(factor), x);
  }

  /** xh. */
  Operand<TFloat64> normalized(Operand<TFloat64> x, Mixed mixed) {
    return tf.math.div(tf.math.sub(x, mixed.mean()), mixed.deviation());
  }
}
