package com.example.nio;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;

/** The entry that ServiceLoader finds: it says what the backend is, and opens it. */
public final class NioProvider implements VbnProvider {
  @Override
  public String name() {
    return "nio";
  }

  @Override
  public int priority() {
    return -1; // an example: opened by default only where nothing else is
  }

  @Override
  public Class<NioTensor> tensorType() {
    return NioTensor.class;
  }

  @Override
  public Availability probe() {
    return Availability.available("CPU, buffers of java.nio");
  }

  @Override
  public VbnBackend<NioTensor> open() {
    return new NioBackend();
  }
}
