package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiFunction;
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
    if (has(Capability.FLOAT64)) {
      dtypes.add(DType.FLOAT64);
    }
    if (has(Capability.FLOAT16)) {
      dtypes.add(DType.FLOAT16);
    }
    if (has(Capability.BFLOAT16)) {
      dtypes.add(DType.BFLOAT16);
    }
    return dtypes;
  }

  boolean has(Capability capability) {
    return backend.capabilities().contains(capability);
  }

  T tensor(HostTensor host, DType dtype) {
    return backend.fromHost(host, dtype);
  }

  /** The layer of a case; parameters and layer live as long as {@code use} runs. */
  <R> R withLayer(Case c, DType dtype, BiFunction<VirtualBatchNorm<T>, T, R> use) {
    T gamma = c.gamma() == null ? null : tensor(c.gamma(), dtype.parameterType());
    T beta = c.beta() == null ? null : tensor(c.beta(), dtype.parameterType());
    T reference = tensor(c.reference(), dtype);
    try (VirtualBatchNorm<T> layer = VirtualBatchNorm.of(backend, c.config(), gamma, beta)) {
      return use.apply(layer, reference);
    } finally {
      backend.release(reference);
      release(gamma);
      release(beta);
    }
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
    T x = tensor(c.x(), dtype);
    T reference = tensor(c.reference(), dtype);
    T upstream = tensor(c.upstream(), dtype);
    try {
      return run(c, dtype, x, reference, upstream);
    } finally {
      backend.release(x);
      backend.release(reference);
      backend.release(upstream);
    }
  }

  /** As above, with the given tensors for the batches of the case. */
  Outcome run(Case c, DType dtype, T x, T reference, T upstream) {
    return withLayer(c, dtype, (layer, ignored) -> {
      ReferenceOutput<T> pass = layer.reference(reference);
      try (ReferenceStatistics<T> statistics = pass.statistics()) {
        LiveOutput<T> live = layer.forward(x, statistics);
        Gradients<T> gradients = layer.backward(x, statistics, upstream);
        HostTensor reached = null;
        if (c.config().referenceGradient() == ReferenceGradient.ATTACHED) {
          T dr = layer.referenceGradient(reference, statistics, gradients);
          reached = backend.toHost(dr);
          backend.release(dr);
        }
        Outcome outcome = new Outcome(
            backend.toHost(live.output()),
            backend.toHost(pass.output()),
            HostTensor.of(statistics.mean(), statistics.features()),
            HostTensor.of(statistics.variance(), statistics.features()),
            live.statistics().mean(),
            live.statistics().variance(),
            backend.toHost(gradients.input()),
            backend.toHost(gradients.gamma()),
            backend.toHost(gradients.beta()),
            reached);
        backend.release(pass.output());
        release(live);
        release(gradients);
        return outcome;
      }
    });
  }

  /** What is done with the gradients of one live call. */
  interface UseOfGradients<T> {
    void accept(
        VirtualBatchNorm<T> layer, ReferenceStatistics<T> statistics, Gradients<T> gradients);
  }

  /** The gradients of a case, as they are; all tensors live as long as {@code use} runs. */
  void withGradients(Case c, DType dtype, UseOfGradients<T> use) {
    withLayer(c, dtype, (layer, reference) -> {
      T x = tensor(c.x(), dtype);
      T upstream = tensor(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        Gradients<T> gradients = layer.backward(x, statistics, upstream);
        use.accept(layer, statistics, gradients);
        release(gradients);
      } finally {
        backend.release(x);
        backend.release(upstream);
      }
      return true;
    });
  }

  /** The live output alone. */
  HostTensor output(Case c, DType dtype) {
    return run(c, dtype).output();
  }

  /** Fails unless a result has this shape and type. */
  void assertForm(String what, long[] shape, DType dtype, T tensor) {
    assertArrayEquals(shape, backend.shape(tensor), "shape of the " + what);
    assertEquals(dtype, backend.dtype(tensor), "type of the " + what);
  }

  void assertForm(String what, String where, long[] shape, DType dtype, Moments<T> moments) {
    assertForm(what + " mean" + where, shape, dtype, moments.mean());
    assertForm(what + " variance" + where, shape, dtype, moments.variance());
  }

  private void release(@Nullable T tensor) {
    if (tensor != null) {
      backend.release(tensor);
    }
  }

  void release(LiveOutput<T> live) {
    backend.release(live.output());
    release(live.statistics().moments());
  }

  void release(Gradients<T> gradients) {
    backend.release(gradients.input());
    backend.release(gradients.gamma());
    backend.release(gradients.beta());
    release(gradients.reference());
  }

  void release(@Nullable Moments<T> moments) {
    if (moments != null) {
      backend.release(moments.mean());
      backend.release(moments.variance());
    }
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
