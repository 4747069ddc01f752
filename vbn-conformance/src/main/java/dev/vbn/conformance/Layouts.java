package dev.vbn.conformance;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
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
    double[] values = new double[tensor.size()];
    long[] index = new long[rank];
    for (int i = 0; i < values.length; i++) {
      long source = 0;
      for (int axis = 0; axis < rank; axis++) {
        source += index[axis] * strides[order[axis]];
      }
      values[i] = tensor.get((int) source);
      for (int axis = rank - 1; axis >= 0 && ++index[axis] == moved[axis]; axis--) {
        index[axis] = 0;
      }
    }
    return HostTensor.of(values, moved).to(tensor.dtype());
  }

  /** The given examples of a batch, in the given order. */
  static HostTensor examples(HostTensor batch, int... examples) {
    long[] shape = batch.shape();
    int size = (int) (batch.size() / shape[0]);
    double[] values = new double[size * examples.length];
    Arrays.setAll(values, i -> batch.get(examples[i / size] * size + i % size));
    shape[0] = examples.length;
    return HostTensor.of(values, shape).to(batch.dtype());
  }

  /** The tensor so many times over, side by side along an axis. */
  static HostTensor repeat(HostTensor tensor, int axis, int times) {
    long[] shape = tensor.shape();
    int run = 1; // elements that stay together
    for (int i = axis; i < shape.length; i++) {
      run *= (int) shape[i];
    }
    shape[axis] *= times;
    HostTensor repeated = HostTensor.zeros(tensor.dtype(), shape);
    Object from = array(tensor);
    for (int i = 0; i < tensor.size(); i += run) {
      for (int j = 0; j < times; j++) {
        System.arraycopy(from, i, array(repeated), (i * times) + j * run, run);
      }
    }
    return repeated;
  }

  private static Object array(HostTensor tensor) {
    return tensor.dtype() == DType.FLOAT64 ? tensor.doubles() : tensor.floats();
  }

  /** Two batches one after the other. */
  static HostTensor concatenate(HostTensor first, HostTensor second) {
    double[] values = Arrays.copyOf(first.toDoubles(), first.size() + second.size());
    for (int i = 0; i < second.size(); i++) {
      values[first.size() + i] = second.get(i);
    }
    long[] shape = first.shape();
    shape[0] += second.shape()[0];
    return HostTensor.of(values, shape).to(first.dtype());
  }

  /** A copy with one element replaced. */
  static HostTensor with(HostTensor tensor, int index, double value) {
    double[] values = tensor.toDoubles();
    values[index] = value;
    return HostTensor.of(values, tensor.shape()).to(tensor.dtype());
  }
}
