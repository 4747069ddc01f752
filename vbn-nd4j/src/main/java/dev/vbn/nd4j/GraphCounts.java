package dev.vbn.nd4j;

import java.util.stream.IntStream;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Which positions of a batch in a graph count. SameDiff has no gradient of {@code where} or
 * {@code select}, its gradient of {@code gather} fails, and a product with 0 keeps NaN. So a batch
 * is taken apart into rows of features, and those that do not count are added to a row after the
 * others, which is cut off; in the backward pass its gradient is 0.
 */
final class GraphCounts {
  private final SameDiff graph;
  private final int[] featuresLast;
  private final int[] featuresBack;
  private final int features;

  /** The index of each row, or that of the row after the others. */
  private final SDVariable rows;

  /** Lengths of the batch with the features last. */
  private final SDVariable shape;

  /** Ones and zeros in 64 bits, of the batch's shape. */
  private final SDVariable ones;

  /**
   * @param counts of an integer type and rank 1, the lengths of the examples along the first axis
   *     of positions; else of the batch's shape without the feature axis, not 0 where something
   *     counts
   */
  GraphCounts(SDVariable x, SDVariable counts, int rank, int axis, int features) {
    graph = x.getSameDiff();
    this.features = features;
    featuresLast = IntStream.concat(
            IntStream.range(0, rank).filter(i -> i != axis), IntStream.of(axis))
        .toArray();
    featuresBack = IntStream.range(0, rank)
        .map(i -> i < axis ? i : i == axis ? rank - 1 : i - 1)
        .toArray();
    shape = graph.shape(x.permute(featuresLast));
    SDVariable size = size(x);
    SDVariable index = graph.range(constant(0), size, constant(1), DataType.INT64);
    SDVariable counted = isLengths(counts)
        ? below(index, size, x, counts, axis == 1 ? 2 : 1)
        : whole(counts).reshape(-1).castTo(DataType.BOOL).castTo(DataType.INT64);
    rows = index.mul(counted).add(size.mul(counted.rsub(1))).castTo(DataType.INT32);
    ones = unrolled(counted.castTo(DataType.DOUBLE).reshape(-1, 1).mul(line(1)));
  }

  private static SDVariable whole(SDVariable mask) {
    SDVariable counted = mask.dataType().isFPType() ? mask.neq(0) : mask;
    return counted.castTo(DataType.INT64);
  }

  private static boolean isLengths(SDVariable counts) {
    return counts.dataType() == DataType.INT32 || counts.dataType() == DataType.INT64;
  }

  private SDVariable constant(long value) {
    return graph.constant(Nd4j.scalar(value));
  }

  private SDVariable line(double value) {
    return graph.constant(Nd4j.valueArrayOf(new long[] {1, features}, value, DataType.DOUBLE));
  }

  /** Positions of all examples. */
  private SDVariable size(SDVariable x) {
    return graph.math().floorDiv(graph.size(x).castTo(DataType.INT64), constant(features));
  }

  /** Where the place of a row along an axis is below the length of its example. */
  private SDVariable below(
      SDVariable index, SDVariable size, SDVariable x, SDVariable lengths, int along) {
    SDVariable batch = graph.sizeAt(x, 0).castTo(DataType.INT64);
    SDVariable positions = graph.math().floorDiv(size, batch);
    SDVariable inner =
        graph.math().floorDiv(positions, graph.sizeAt(x, along).castTo(DataType.INT64));
    SDVariable example = graph.math().floorDiv(index, positions);
    SDVariable place = graph.math().floorDiv(graph.math().floorMod(index, positions), inner);
    SDVariable length =
        graph.gather(lengths.castTo(DataType.INT64), example.castTo(DataType.INT32), 0);
    return graph.lt(place, length).castTo(DataType.INT64);
  }

  private SDVariable unrolled(SDVariable ofRows) {
    return graph.reshape(ofRows, shape).permute(featuresBack);
  }

  /** The batch with zeros where nothing counts. */
  SDVariable blanked(SDVariable batch) {
    SDVariable lines = batch.permute(featuresLast).reshape(-1, features);
    SDVariable zeros = graph.concat(0, graph.zerosLike(lines), line(0).castTo(batch.dataType()));
    SDVariable added = graph.scatterAdd(zeros, rows, lines);
    return unrolled(
        graph.stridedSlice(added, new long[] {0, 0}, new long[] {-1, features}, new long[] {1, 1}));
  }

  /** The mean over some axes of what counts; {@code values} are 0 elsewhere. */
  SDVariable mean(SDVariable values, int[] axes) {
    SDVariable sum = axes.length == 0 ? values : values.sum(true, axes);
    SDVariable number = axes.length == 0 ? ones : ones.sum(true, axes);
    return sum.div(graph.math().max(number, graph.constant(Nd4j.scalar(1.0))));
  }

  /** {@code values} where something counts, and 0 elsewhere; finite throughout. */
  SDVariable only(SDVariable values) {
    return values.mul(ones);
  }

  /** Examples in which something counts. */
  SDVariable examples() {
    int[] others = IntStream.range(1, featuresLast.length).toArray();
    SDVariable one = graph.constant(Nd4j.scalar(1.0));
    return graph.math().min(ones.sum(others), one).sum();
  }

  /** Elements of one feature that count. */
  SDVariable elements() {
    return ones.sum().div(features);
  }
}
