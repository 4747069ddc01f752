package com.example.nio;

import dev.vbn.tensor.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.IntToDoubleFunction;

/** A dense, row-major tensor: what a buffer holds from its position on, in its byte order. */
public record NioTensor(DType dtype, long[] shape, ByteBuffer data) {

  /** A view of the buffer, not a copy. */
  public NioTensor {
    data = data.slice().order(data.order());
  }

  /** A new tensor in memory of its own, filled element by element. */
  static NioTensor of(DType dtype, long[] shape, IntToDoubleFunction element) {
    int size = size(shape);
    ByteBuffer data = ByteBuffer.allocateDirect(size * (dtype == DType.FLOAT32 ? 4 : 8));
    NioTensor tensor = new NioTensor(dtype, shape, data.order(ByteOrder.nativeOrder()));
    for (int i = 0; i < size; i++) {
      if (dtype == DType.FLOAT32) {
        tensor.data.putFloat(4 * i, (float) element.applyAsDouble(i));
      } else {
        tensor.data.putDouble(8 * i, element.applyAsDouble(i));
      }
    }
    return tensor;
  }

  double get(int i) {
    return dtype == DType.FLOAT32 ? data.getFloat(4 * i) : data.getDouble(8 * i);
  }

  int size() {
    return size(shape);
  }

  private static int size(long[] shape) {
    long size = 1;
    for (long length : shape) {
      size = Math.multiplyExact(size, length);
    }
    return Math.toIntExact(size);
  }
}
