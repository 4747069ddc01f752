package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.HostTensorAccess;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
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
  private static final String GAVE_NULL = "null was given; expected a result";

  private final Kernels<T> kernels;
  private final TensorAccess<T> tensors;
  private final Set<Capability> capabilities;

  HostKernels(Kernels<T> kernels) {
    this.kernels = kernels;
    tensors = requireNonNull(kernels.tensors(), "tensors() returned null; expected the access");
    capabilities =
        EnumSet.of(Capability.CALLER_SUPPLIED_OUTPUT, Capability.TENSORS_OUTLIVE_BACKEND);
    capabilities.addAll(
        requireNonNull(kernels.capabilities(), "capabilities() returned null; expected a set"));
    // No host tensor is of 16 bits.
    capabilities.remove(Capability.FLOAT16);
    capabilities.remove(Capability.BFLOAT16);
  }

  /** What the provider opened. */
  Kernels<T> kernels() {
    return kernels;
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
  public @Nullable String description() {
    return kernels.description();
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry, Scope scope) {
    try (Call call = new Call()) {
      return call.bothBack(call.ownBoth(kernels.statistics(call.there(x), geometry, scope)));
    }
  }

  @Override
  public Normalized<HostTensor> reference(
      HostTensor x, Normalization how, @Nullable HostTensor gamma, @Nullable HostTensor beta) {
    try (Call call = new Call()) {
      Normalized<T> result =
          kernels.reference(call.there(x), how, call.orNull(gamma), call.orNull(beta));
      call.own(result.output());
      call.ownBoth(result.statistics());
      return new Normalized<>(call.back(result.output()), call.bothBack(result.statistics()));
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
      T result = call.own(kernels.forward(
          call.there(x), how, call.there(reference), call.orNull(gamma), call.orNull(beta), null));
      return output == null ? call.back(result) : call.back(result, output);
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
      Moments<T> dreference = result.dreference();
      call.own(result.dx());
      call.own(result.dgamma());
      call.own(result.dbeta());
      if (dreference != null) {
        call.ownBoth(dreference);
      }
      HostTensor dgamma = call.back(result.dgamma());
      HostTensor dbeta = call.back(result.dbeta());
      Moments<HostTensor> backReference = dreference == null ? null : call.bothBack(dreference);
      // A tensor of the caller's comes last: where another part fails, it stays as it is.
      return new Differentiated<>(
          dx == null ? call.back(result.dx()) : call.back(result.dx(), dx),
          dgamma,
          dbeta,
          backReference);
    }
  }

  @Override
  public TwiceDifferentiated<HostTensor> doubleBackward(
      HostTensor x,
      HostTensor upstream,
      GradientUpstream<HostTensor> second,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    try (Call call = new Call()) {
      TwiceDifferentiated<T> result = kernels.doubleBackward(
          call.there(x),
          call.there(upstream),
          new GradientUpstream<>(
              call.there(second.dx()), call.orNull(second.dgamma()), call.orNull(second.dbeta())),
          how,
          call.there(reference),
          call.orNull(gamma));
      call.own(result.x());
      call.own(result.upstream());
      call.own(result.gamma());
      return new TwiceDifferentiated<>(
          call.back(result.x()), call.back(result.upstream()), call.back(result.gamma()));
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
      return call.back(call.own(kernels.referenceGradient(
          call.there(r), geometry, call.there(statistics), call.there(gradient), elements)));
    }
  }

  @Override
  public GroupSums sums(
      HostTensor x, HostTensor upstream, Normalization how, Moments<HostTensor> reference) {
    try (Call call = new Call()) {
      return kernels.sums(call.there(x), call.there(upstream), how, call.there(reference));
    }
  }

  @Override
  public HostTensor write(
      HostTensor x,
      @Nullable HostTensor upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable HostTensor output) {
    try (Call call = new Call()) {
      T result = call.own(
          kernels.write(call.there(x), call.orNull(upstream), geometry, scope, lines, null));
      return output == null ? call.back(result) : call.back(result, output);
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
      return own(tensors.fromHost(host, host.dtype()));
    }

    @Nullable
    T orNull(@Nullable HostTensor host) {
      return host == null ? null : there(host);
    }

    Moments<T> there(Moments<HostTensor> moments) {
      return new Moments<>(there(moments.mean()), there(moments.variance()));
    }

    /** Takes over a tensor that the backend has made; a missing one is found when it is copied. */
    T own(T tensor) {
      if (tensor != null) {
        made.add(tensor);
      }
      return tensor;
    }

    /** As {@link #own}, both before either is copied: a copy may fail. */
    Moments<T> ownBoth(Moments<T> moments) {
      if (moments != null) {
        own(moments.mean());
        own(moments.variance());
      }
      return moments;
    }

    HostTensor back(T result) {
      return tensors.toHost(requireNonNull(result, GAVE_NULL));
    }

    HostTensor back(T result, HostTensor into) {
      HostTensor host = back(result);
      Object from = host.dtype() == DType.FLOAT64 ? host.doubles() : host.floats();
      Object to = host.dtype() == DType.FLOAT64 ? into.doubles() : into.floats();
      System.arraycopy(from, 0, to, 0, host.size());
      return into;
    }

    Moments<HostTensor> bothBack(Moments<T> moments) {
      requireNonNull(moments, GAVE_NULL);
      return new Moments<>(back(moments.mean()), back(moments.variance()));
    }

    @Override
    public void close() {
      if (!made.isEmpty()) {
        try {
          tensors.release(made.remove(made.size() - 1));
        } finally {
          close(); // the others, even if this one cannot be freed
        }
      }
    }
  }
}
