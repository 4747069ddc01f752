package dev.vbn.state;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/**
 * A tensor of PyTorch, as its file describes it: a view of a storage.
 *
 * @param type of its elements, for messages
 * @param typed whether the type is that of the storage
 * @param offset of its first element in the storage
 * @param size lengths of the axes
 * @param stride elements from one index of an axis to the next
 */
record TorchTensor(
    TorchStorage storage, String type, boolean typed, long offset, long[] size, long[] stride) {
  static final int MAX_RANK = 64;

  /** Refuses what lies outside the storage, or is of a type that is not read. */
  void check(String what) throws StateException {
    if (!typed || storage.type().dtype() == null) {
      throw new StateException(what + " is of " + type
          + "; expected FloatStorage, DoubleStorage, HalfStorage or BFloat16Storage");
    }
    if (size.length != stride.length) {
      throw new StateException(what + " has size " + Arrays.toString(size) + " and stride "
          + Arrays.toString(stride) + "; expected as many numbers in both");
    }
    try {
      long elements = 1;
      long last = offset;
      for (int axis = 0; axis < size.length; axis++) {
        elements = Math.multiplyExact(elements, size[axis]);
        last = Math.addExact(last, Math.multiplyExact(Math.max(size[axis] - 1, 0), stride[axis]));
      }
      if (elements > NpyHeader.MAX_ELEMENTS) {
        throw new StateException(
            what + " has " + elements + " elements; expected at most " + NpyHeader.MAX_ELEMENTS);
      }
      if (elements > 0 && last >= storage.elements()) {
        throw new StateException(what + " ends at element " + last + " of its storage; expected one"
            + " of its " + storage.elements());
      }
    } catch (ArithmeticException e) {
      throw new StateException(
          what + " has size " + Arrays.toString(size) + " and stride " + Arrays.toString(stride)
              + ", beyond what 64 bits count; expected a view of its storage",
          e);
    }
  }

  /** Of a tensor that was checked. */
  int elements() {
    long elements = 1;
    for (long length : size) {
      elements *= length;
    }
    return (int) elements;
  }

  /** Bytes that the elements take in memory. */
  long bytes() {
    return (long) elements()
        * (storage.type().dtype() == DType.FLOAT64 ? Double.BYTES : Float.BYTES);
  }

  /** Whether it is the storage, element by element. */
  boolean isWhole() {
    long expected = 1;
    for (int axis = size.length - 1; axis >= 0; axis--) {
      if (size[axis] != 1 && stride[axis] != expected) {
        return false;
      }
      expected *= size[axis];
    }
    return offset == 0 && elements() == storage.elements();
  }

  /** A copy of the elements that it is a view of, row-major. */
  HostTensor of(HostTensor elements) {
    int count = elements();
    boolean wide = elements.dtype() == DType.FLOAT64;
    float[] floats = new float[wide ? 0 : count];
    double[] doubles = new double[wide ? count : 0];
    int[] index = new int[size.length];
    int at = (int) offset;
    for (int i = 0; i < count; i++) {
      if (wide) {
        doubles[i] = elements.doubles()[at];
      } else {
        floats[i] = elements.floats()[at];
      }
      for (int axis = size.length - 1; axis >= 0; axis--) {
        index[axis]++;
        at += (int) stride[axis];
        if (index[axis] < size[axis]) {
          break;
        }
        at -= (int) (size[axis] * stride[axis]);
        index[axis] = 0;
      }
    }
    return wide ? HostTensor.of(doubles, size) : HostTensor.of(floats, size);
  }
}
