package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** An open backend, driven through the layer with host tensors in and out. */
final class Subject<T> implements AutoCloseable {
  final VbnBackend<T> backend;

  private final Map<Input, Outcome> outcomes = new ConcurrentHashMap<>();

  private record Input(Case c, DType dtype) {}

  Subject(VbnBackend<T> backend) {
    this.backend = backend;
  }

  /** FLOAT32, and whatever else the backend declares. */
  List<DType> dtypes() {
    List<DType> dtypes = new ArrayList<>(List.of(DType.FLOAT32));
    for (DType dtype : List.of(DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16)) {
      if (Capability.of(dtype).filter(this::has).isPresent()) {
        dtypes.add(dtype);
      }
    }
    return dtypes;
  }

  boolean has(Capability capability) {
    return backend.capabilities().contains(capability);
  }

  /** Takes the tensors that a check makes, and frees them. */
  Tensors<T> tensors() {
    return new Tensors<>(backend);
  }

  /** The tolerance of a result of this backend. */
  Tolerance tolerance(DType dtype, double magnitude, double condition) {
    return Tolerance.of(dtype, backend.statisticsType(), magnitude, condition);
  }

  HostTensor host(T tensor) {
    return backend.toHost(tensor);
  }

  /**
   * Everything that the layer computes of a case rounded to {@code dtype}: computed once, however
   * many rules look at it.
   */
  Outcome outcome(Case c, DType dtype) {
    return outcomes.computeIfAbsent(new Input(c, dtype), first -> run(c.roundedTo(dtype), dtype));
  }

  /** Everything that the layer computes of a case, anew. */
  Outcome run(Case c, DType dtype) {
    try (Tensors<T> made = tensors()) {
      return run(
          made.layer(c, dtype),
          made.of(c.x(), dtype),
          made.of(c.reference(), dtype),
          made.of(c.upstream(), dtype));
    }
  }

  /** Everything that a layer computes of these batches. */
  Outcome run(VirtualBatchNorm<T> layer, T x, T reference, T upstream) {
    try (ReferenceOutput<T> pass = layer.reference(reference)) {
      ReferenceStatistics<T> statistics = pass.statistics();
      MixedStatistics mixed = layer.mixedStatistics(x, statistics);
      try (Output<T> live = layer.forward(x, statistics);
          Gradients<T> gradients = layer.backward(x, statistics, upstream)) {
        return new Outcome(
            host(live.output()),
            host(pass.output()),
            host(statistics.mean()),
            host(statistics.variance()),
            mixed.mean(),
            mixed.variance(),
            host(gradients.dx()),
            host(gradients.dgamma()),
            host(gradients.dbeta()),
            layer.config().referenceGradient() == ReferenceGradient.ATTACHED
                ? referenceGradient(layer, reference, statistics, gradients)
                : null);
      }
    }
  }

  /** What reaches a reference batch, or a chunk of it. */
  HostTensor referenceGradient(
      VirtualBatchNorm<T> layer,
      T chunk,
      ReferenceStatistics<T> statistics,
      Gradients<T> gradients) {
    try (Output<T> reached = layer.referenceGradient(chunk, statistics, gradients)) {
      return host(reached.output());
    }
  }

  /** The live output alone. */
  HostTensor output(Case c, DType dtype) {
    try (Tensors<T> made = tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      try (ReferenceStatistics<T> statistics =
          layer.referenceStatistics(made.of(c.reference(), dtype))) {
        return output(layer, made.of(c.x(), dtype), statistics);
      }
    }
  }

  HostTensor output(VirtualBatchNorm<T> layer, T x, ReferenceStatistics<T> statistics) {
    try (Output<T> live = layer.forward(x, statistics)) {
      return host(live.output());
    }
  }

  /** Fails unless a result has this shape and type. */
  void assertForm(String what, long[] shape, DType dtype, T tensor) {
    assertArrayEquals(shape, backend.shape(tensor), "shape of the " + what);
    assertEquals(dtype, backend.dtype(tensor), "type of the " + what);
  }

  @Override
  public void close() {
    backend.close();
  }

  /** What the layer computed, on the host. */
  record Outcome(
      HostTensor output,
      HostTensor referenceOutput,
      HostTensor referenceMean,
      HostTensor referenceVariance,
      HostTensor mixedMean,
      HostTensor mixedVariance,
      HostTensor dx,
      HostTensor dgamma,
      HostTensor dbeta,
      @Nullable HostTensor dreference) {

    HostTensor mixedMeanSquare() {
      double[] values = mixedVariance.toDoubles();
      for (int i = 0; i < values.length; i++) {
        values[i] += mixedMean.get(i) * mixedMean.get(i);
      }
      return HostTensor.of(values, values.length);
    }
  }
}
