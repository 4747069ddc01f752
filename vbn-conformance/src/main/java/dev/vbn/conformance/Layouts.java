package dev.vbn.conformance;

import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;

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

  /** The given places along an axis, in the given order. */
  static HostTensor places(HostTensor tensor, int axis, int... places) {
    return moveAxis(examples(moveAxis(tensor, axis, 0), places), 0, axis);
  }

  /** The batch with one of its examples taken from another. */
  static HostTensor replaceExample(HostTensor batch, int example, HostTensor from) {
    int size = (int) (batch.size() / batch.shape()[0]);
    double[] values = batch.toDoubles();
    System.arraycopy(from.toDoubles(), example * size, values, example * size, size);
    return HostTensor.of(values, batch.shape()).to(batch.dtype());
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

  /** A tensor of that shape and type, filled with one number. */
  static HostTensor filled(HostTensor tensor, double value) {
    double[] values = new double[tensor.size()];
    Arrays.fill(values, value);
    return HostTensor.of(values, tensor.shape()).to(tensor.dtype());
  }

  /** A tensor of that shape with a function applied to each element, in 64 bits. */
  static HostTensor mapped(HostTensor tensor, DoubleUnaryOperator each) {
    return HostTensor.of(Arrays.stream(tensor.toDoubles()).map(each).toArray(), tensor.shape());
  }

  /** A copy with one element replaced. */
  static HostTensor with(HostTensor tensor, int index, double value) {
    double[] values = tensor.toDoubles();
    values[index] = value;
    return HostTensor.of(values, tensor.shape()).to(tensor.dtype());
  }

  /** The parameters of features once for every example. */
  static HostTensor repeated(HostTensor parameters, int examples) {
    double[] once = parameters.toDoubles();
    double[] all = new double[examples * once.length];
    Arrays.setAll(all, i -> once[i % once.length]);
    return HostTensor.of(all, examples, once.length).to(parameters.dtype());
  }

  /** The sum over examples of what each has for every feature. */
  static HostTensor total(HostTensor ofExamples, int features) {
    if (ofExamples.size() == features) {
      return ofExamples;
    }
    double[] total = new double[features];
    for (int i = 0; i < ofExamples.size(); i++) {
      total[i % features] += ofExamples.get(i);
    }
    return HostTensor.of(total, features);
  }
}
