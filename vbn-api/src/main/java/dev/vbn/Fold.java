package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.function.IntToDoubleFunction;

/**
 * A layer of {@link Variant#REFERENCE_ONLY} with its statistics, as one line per feature:
 * {@code y = scale*x + shift}, with {@code scale = gamma/s} and {@code shift = beta - scale*m}.
 * Such a layer after a convolution or linear layer can be left out if that is given {@link #weight}
 * and {@link #bias}.
 *
 * <p>On the host, from the parameters and statistics at the time of {@link VirtualBatchNorm#fold}.
 * Immutable and safe to share between threads.
 */
public final class Fold {
  private final double[] scale;
  private final double[] mean;
  private final double[] beta;

  Fold(double[] scale, double[] mean, double[] beta) {
    this.scale = scale;
    this.mean = mean;
    this.beta = beta;
  }

  /** Scale per feature, in 64 bits; a copy. */
  public HostTensor scale() {
    return HostTensor.of(scale.clone(), scale.length);
  }

  /**
   * Shift per feature, in 64 bits; a copy. Also the bias of a convolution or linear layer that had
   * none, in the type that {@link HostTensor#to} gives it.
   */
  public HostTensor shift() {
    return perFeature(DType.FLOAT64, i -> 0);
  }

  /**
   * The weight of a convolution or linear layer with this layer folded in: each feature's part
   * times its scale, computed in 64 bits and rounded once.
   *
   * @param weight features on axis 0, which holds the output channels in PyTorch and DJL
   * @return of the weight's shape and type
   * @throws IllegalArgumentException if axis 0 is of another length
   */
  public HostTensor weight(HostTensor weight) {
    requireNonNull(weight, "weight is null; expected features on axis 0");
    long[] shape = weight.shape();
    if (shape.length == 0 || shape[0] != scale.length) {
      throw new IllegalArgumentException("weight has shape " + Arrays.toString(shape)
          + "; expected " + scale.length + " features on axis 0");
    }
    double[] folded = weight.toDoubles();
    int each = folded.length / scale.length;
    Arrays.setAll(folded, i -> scale[i / each] * folded[i]);
    return HostTensor.of(folded, shape).to(weight.dtype());
  }

  /**
   * The bias of a convolution or linear layer with this layer folded in: {@code scale*(bias - m) +
   * beta}, computed in 64 bits and rounded once.
   *
   * @param bias shape {@code [features]}
   * @return of the bias's type
   * @throws IllegalArgumentException if it is of another shape
   */
  public HostTensor bias(HostTensor bias) {
    requireNonNull(
        bias, "bias is null; expected shape [" + scale.length + "], or shift() for none");
    if (!Arrays.equals(bias.shape(), new long[] {scale.length})) {
      throw new IllegalArgumentException(
          "bias has shape " + Arrays.toString(bias.shape()) + "; expected [" + scale.length + "]");
    }
    return perFeature(bias.dtype(), bias::get);
  }

  private HostTensor perFeature(DType dtype, IntToDoubleFunction input) {
    double[] values = new double[scale.length];
    Arrays.setAll(values, i -> scale[i] * (input.applyAsDouble(i) - mean[i]) + beta[i]);
    return HostTensor.of(values, values.length).to(dtype);
  }
}
