package com.example.nio;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Set;

class NioConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new NioProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.SUBNORMALS,
        Capability.TENSORS_OUTLIVE_BACKEND);
  }

  @Override
  protected List<NioTensor> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    return List.of(
        behindOthers(host, dtype, ByteOrder.LITTLE_ENDIAN),
        behindOthers(host, dtype, ByteOrder.BIG_ENDIAN));
  }

  /** The elements of {@code host} in a buffer that holds three others before them. */
  private static NioTensor behindOthers(HostTensor host, DType dtype, ByteOrder order) {
    boolean wide = dtype == DType.FLOAT64;
    int bytes = wide ? Double.BYTES : Float.BYTES;
    ByteBuffer buffer = ByteBuffer.allocate((3 + host.size()) * bytes).order(order);
    for (int i = 0; i < host.size(); i++) {
      if (wide) {
        buffer.putDouble((3 + i) * bytes, host.get(i));
      } else {
        buffer.putFloat((3 + i) * bytes, (float) host.get(i));
      }
    }
    return new NioTensor(dtype, host.shape(), buffer.position(3 * bytes));
  }
}
