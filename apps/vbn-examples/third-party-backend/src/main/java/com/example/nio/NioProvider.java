package com.example.nio;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;

/** The entry that ServiceLoader finds: it says what the backend is, and opens it. */
public final class NioProvider implements VbnProvider<NioTensor> {
  @Override
  public String name() {
    return "nio";
  }

  @Override
  public int priority() {
    return -1; // an example: opened by default only where nothing else is
  }

  @Override
  public TensorType<NioTensor> tensorType() {
    return TensorType.of(NioTensor.class);
  }

  @Override
  public Availability probe() {
    return Availability.available("CPU, buffers of java.nio");
  }

  @Override
  public Kernels<NioTensor> open(BackendOptions options) {
    return new NioKernels(); // one device, no threads of its own: there are no options to heed
  }
}
