package dev.vbn.dl4j;

import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.ndarray.INDArray;

/** The masks that DL4J hands a layer, for a batch of any format. */
final class FeatureMask {
  private FeatureMask() {}

  /**
   * What a mask says about a batch.
   *
   * @param mask 1 where something counts, 0 elsewhere: of shape {@code [N, time]} for sequences, and
   *     else {@code [N, 1]}, or with the batch's rank and features on axis 1, {@code [N, 1, H, W]}
   *     for images of either format; a length of 1 stands for a whole axis. Null where everything
   *     counts.
   * @param featureAxis 1, or the last
   * @throws IllegalArgumentException if the mask does not fit the batch
   */
  static @Nullable Mask of(@Nullable INDArray mask, long[] shape, int featureAxis) {
    if (mask == null) {
      return null;
    }
    long[] positions = LongStream.concat(
            Arrays.stream(shape, 0, featureAxis),
            Arrays.stream(shape, featureAxis + 1, shape.length))
        .toArray();
    INDArray fitting = fitting(mask, positions);
    if (fitting == null) {
      throw new IllegalArgumentException("features mask has shape " + Arrays.toString(mask.shape())
          + "; expected one for a batch of shape " + Arrays.toString(shape) + ": "
          + Arrays.toString(positions) + ", or [" + shape[0] + ", 1, ...] of its rank");
    }
    double[] values = fitting.broadcast(positions).dup('c').data().asDouble();
    boolean[] counts = new boolean[values.length];
    for (int i = 0; i < counts.length; i++) {
      counts[i] = values[i] != 0;
    }
    return Mask.of(counts, positions);
  }

  /** The mask with as many axes as there are positions, each of their length or 1; null if it does not fit. */
  private static @Nullable INDArray fitting(INDArray mask, long[] positions) {
    long[] given = mask.shape();
    long[] lengths;
    if (given.length == positions.length) {
      lengths = given;
    } else if (given.length == positions.length + 1 && given[1] == 1) {
      lengths = LongStream.concat(LongStream.of(given[0]), Arrays.stream(given, 2, given.length))
          .toArray();
    } else if (given.length == 2 && given[1] == 1) {
      lengths = new long[positions.length];
      Arrays.fill(lengths, 1);
      lengths[0] = given[0];
    } else {
      return null;
    }
    for (int i = 0; i < lengths.length; i++) {
      if (lengths[i] != positions[i] && (lengths[i] != 1 || i == 0)) {
        return null;
      }
    }
    return mask.reshape('c', lengths);
  }
}
