package dev.vbn.conformance;

import dev.vbn.HostTensor;
import java.util.Arrays;

/** Rearranges batches, for the laws that relate one layout or order to another. */
final class Layouts {
  private Layouts() {}

  /** Moves axis {@code from} to position {@code to}. */
  static HostTensor moveAxis(HostTensor tensor, int from, int to) {
    long[] shape = tensor.shape();
    int rank = shape.length;
    int[] order = new int[rank];
    int next = 0;
    for (int i = 0; i < rank; i++) {
      if (i == to) {
        order[i] = from;
        continue;
      }
      if (next == from) {
        next++;
      }
      order[i] = next++;
    }
    long[] moved = new long[rank];
    for (int i = 0; i < rank; i++) {
      moved[i] = shape[order[i]];
    }
    long[] strides = new long[rank];
    long stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
      strides[i] = stride;
      stride *= shape[i];
    }
    float[] values = new float[tensor.size()];
    long[] index = new long[rank];
    for (int i = 0; i < values.length; i++) {
      long source = 0;
      for (int axis = 0; axis < rank; axis++) {
        source += index[axis] * strides[order[axis]];
      }
      values[i] = (float) tensor.get((int) source);
      for (int axis = rank - 1; axis >= 0 && ++index[axis] == moved[axis]; axis--) {
        index[axis] = 0;
      }
    }
    return HostTensor.of(values, moved);
  }

  /** The given examples of a batch, in the given order. */
  static HostTensor examples(HostTensor batch, int... examples) {
    long[] shape = batch.shape();
    int size = (int) (batch.size() / shape[0]);
    float[] values = new float[size * examples.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) batch.get(examples[i / size] * size + i % size);
    }
    shape[0] = examples.length;
    return HostTensor.of(values, shape);
  }

  /** Two batches one after the other. */
  static HostTensor concatenate(HostTensor first, HostTensor second) {
    float[] values = Arrays.copyOf(first.floats(), first.size() + second.size());
    for (int i = 0; i < second.size(); i++) {
      values[first.size() + i] = (float) second.get(i);
    }
    long[] shape = first.shape();
    shape[0] += second.shape()[0];
    return HostTensor.of(values, shape);
  }

  /** A copy with one element replaced. */
  static HostTensor with(HostTensor tensor, int index, double value) {
    float[] values = tensor.floats().clone();
    values[index] = (float) value;
    return HostTensor.of(values, tensor.shape());
  }
}
