package dev.vbn;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.HostTensorAccess;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Kernels on plain arrays that compute on a backend's own tensors: arguments are copied there, and
 * results back.
 */
final class HostKernels<T> implements Kernels<HostTensor> {
  private final Kernels<T> kernels;
  private final Set<Capability> capabilities;

  HostKernels(Kernels<T> kernels) {
    this.kernels = kernels;
    capabilities =
        EnumSet.of(Capability.CALLER_SUPPLIED_OUTPUT, Capability.TENSORS_OUTLIVE_BACKEND);
    capabilities.addAll(kernels.capabilities());
    // No host tensor is of 16 bits.
    capabilities.remove(Capability.FLOAT16);
    capabilities.remove(Capability.BFLOAT16);
  }

  @Override
  public TensorAccess<HostTensor> tensors() {
    return new HostTensorAccess();
  }

  @Override
  public Set<Capability> capabilities() {
    return capabilities;
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry, Scope scope) {
    try (Call call = new Call()) {
      return call.back(kernels.statistics(call.there(x), geometry, scope));
    }
  }

  @Override
  public Normalized<HostTensor> reference(
      HostTensor x, Normalization how, @Nullable HostTensor gamma, @Nullable HostTensor beta) {
    try (Call call = new Call()) {
      Normalized<T> result =
          kernels.reference(call.there(x), how, call.orNull(gamma), call.orNull(beta));
      Moments<HostTensor> statistics = call.back(result.statistics());
      return new Normalized<>(call.back(result.output(), null), statistics);
    }
  }

  @Override
  public HostTensor forward(
      HostTensor x,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    try (Call call = new Call()) {
      T result = kernels.forward(
          call.there(x), how, call.there(reference), call.orNull(gamma), call.orNull(beta), null);
      return call.back(result, output);
    }
  }

  @Override
  public Differentiated<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx) {
    try (Call call = new Call()) {
      Differentiated<T> result = kernels.backward(
          call.there(x),
          call.there(upstream),
          how,
          call.there(reference),
          call.orNull(gamma),
          null);
      HostTensor dgamma = call.back(result.dgamma(), null);
      HostTensor dbeta = call.back(result.dbeta(), null);
      Moments<T> dreference = result.dreference();
      return new Differentiated<>(
          call.back(result.dx(), dx),
          dgamma,
          dbeta,
          dreference == null ? null : call.back(dreference));
    }
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    try (Call call = new Call()) {
      T result = kernels.referenceGradient(
          call.there(r), geometry, call.there(statistics), call.there(gradient), elements);
      return call.back(result, null);
    }
  }

  @Override
  public void close() {
    kernels.close();
  }

  /** The tensors that one call has on the backend, freed at its end. */
  private final class Call implements AutoCloseable {
    private final List<T> made = new ArrayList<>();

    T there(HostTensor host) {
      T tensor = kernels.tensors().fromHost(host, host.dtype());
      made.add(tensor);
      return tensor;
    }

    @Nullable
    T orNull(@Nullable HostTensor host) {
      return host == null ? null : there(host);
    }

    Moments<T> there(Moments<HostTensor> moments) {
      return new Moments<>(there(moments.mean()), there(moments.variance()));
    }

    /** A result on the host, in {@code into} if given. */
    HostTensor back(T result, @Nullable HostTensor into) {
      made.add(result);
      HostTensor host = kernels.tensors().toHost(result);
      if (into == null) {
        return host;
      }
      Object from = host.dtype() == DType.FLOAT64 ? host.doubles() : host.floats();
      Object to = host.dtype() == DType.FLOAT64 ? into.doubles() : into.floats();
      System.arraycopy(from, 0, to, 0, host.size());
      return into;
    }

    Moments<HostTensor> back(Moments<T> moments) {
      return new Moments<>(back(moments.mean(), null), back(moments.variance(), null));
    }

    @Override
    public void close() {
      made.forEach(kernels.tensors()::release);
    }
  }
}
