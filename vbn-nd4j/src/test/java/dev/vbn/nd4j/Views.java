package dev.vbn.nd4j;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Arrays of the same elements in other layouts. */
final class Views {
  private Views() {}

  /** Arrays in 'f' order, permuted, offset and strided that show what {@code plain} holds. */
  static List<INDArray> of(INDArray plain) {
    List<INDArray> views = new ArrayList<>();
    int rank = plain.rank();
    views.add(plain.dup('f'));
    int[] reversed = IntStream.range(0, rank).map(i -> rank - 1 - i).toArray();
    views.add(plain.permute(reversed).dup('c').permute(reversed));
    for (int axis = 0; axis < rank; axis++) {
      views.add(within(plain, axis, 2, 1));
      views.add(within(plain, axis, 1, 2));
    }
    return views;
  }

  /** All places of an axis but the last, and all but the first. */
  static List<INDArray> parts(INDArray whole, int axis) {
    INDArrayIndex[] first = new INDArrayIndex[whole.rank()];
    Arrays.fill(first, NDArrayIndex.all());
    INDArrayIndex[] last = first.clone();
    first[axis] = NDArrayIndex.interval(0, whole.size(axis) - 1);
    last[axis] = NDArrayIndex.interval(1, whole.size(axis));
    return List.of(whole.get(first), whole.get(last));
  }

  /** A view from {@code offset} in steps of {@code stride} along an axis of a larger array. */
  private static INDArray within(INDArray plain, int axis, long offset, int stride) {
    long length = plain.size(axis);
    long[] shape = plain.shape().clone();
    shape[axis] = offset + length * stride + 1;
    INDArrayIndex[] index = new INDArrayIndex[shape.length];
    for (int i = 0; i < index.length; i++) {
      index[i] = i == axis
          ? NDArrayIndex.interval(offset, stride, offset + length * stride)
          : NDArrayIndex.interval(0, shape[i]);
    }
    INDArray view = Nd4j.valueArrayOf(shape, 77, plain.dataType()).get(index);
    view.assign(plain);
    return view;
  }
}
