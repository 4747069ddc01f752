package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** Arrays of the same elements in other layouts. */
final class Views {
  private Views() {}

  /** Views of larger or reordered arrays that show what {@code plain} holds. */
  static List<NDArray> of(NDArray plain) {
    List<NDArray> views = new ArrayList<>();
    int rank = plain.getShape().dimension();
    NDManager manager = plain.getManager();
    // Axes stored in reverse order.
    int[] reversed = IntStream.range(0, rank).map(i -> rank - 1 - i).toArray();
    try (NDArray stored = plain.transpose(reversed);
        NDArray dense = manager.zeros(stored.getShape(), stored.getDataType()).addi(stored)) {
      views.add(dense.transpose(reversed));
    }
    // Not at the start of its memory: a slice along each axis.
    for (int axis = 0; axis < rank; axis++) {
      NDArray edge = manager.full(withLength(plain.getShape(), axis, 2), 77f, plain.getDataType());
      NDArray padded = edge.concat(plain, axis).concat(edge, axis);
      long length = plain.getShape().get(axis);
      views.add(padded.get(index(rank, axis, 2 + ":" + (2 + length))));
    }
    // Every second element of an array twice as long.
    views.add(plain.repeat(rank - 1, 2).get(new NDIndex("...,::2")));
    return views;
  }

  private static Shape withLength(Shape shape, int axis, long length) {
    long[] lengths = shape.getShape().clone();
    lengths[axis] = length;
    return new Shape(lengths);
  }

  private static NDIndex index(int rank, int axis, String range) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < rank; i++) {
      text.append(i == 0 ? "" : ",").append(i == axis ? range : ":");
    }
    return new NDIndex(text.toString());
  }
}
