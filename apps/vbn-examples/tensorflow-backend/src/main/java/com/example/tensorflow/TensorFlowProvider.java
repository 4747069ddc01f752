package com.example.tensorflow;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import org.tensorflow.TensorFlow;
import org.tensorflow.types.family.TFloating;

/** The entry that ServiceLoader finds: it says what the backend is, and opens it. */
public final class TensorFlowProvider implements VbnProvider<TFloating> {
  @Override
  public String name() {
    return "tensorflow";
  }

  @Override
  public int priority() {
    return -1; // an example: opened by default only where nothing else is
  }

  @Override
  public TensorType<TFloating> tensorType() {
    return TensorType.of(TFloating.class);
  }

  /** Loads the natives, which are missing where no jar has them for this platform. */
  @Override
  public Availability probe() {
    try {
      return Availability.available("CPU, TensorFlow " + TensorFlow.version());
    } catch (LinkageError | RuntimeException e) {
      return Availability.unavailable("TensorFlow does not load: " + e, e);
    }
  }

  @Override
  public Kernels<TFloating> open(BackendOptions options) {
    return new TensorFlowKernels();
  }
}
