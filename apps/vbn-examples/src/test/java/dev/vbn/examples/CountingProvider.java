package dev.vbn.examples;

import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A backend whose tensors nobody collects: it counts those that are not freed, and lets none be
 * read that is. Computes what the reference backend does.
 */
public final class CountingProvider implements VbnProvider<CountingProvider.Tensor> {
  static final String NAME = "counting";

  /** Tensors made, and tensors made but not freed, of all backends together. */
  static final AtomicInteger MADE = new AtomicInteger();

  static final AtomicInteger OPEN = new AtomicInteger();

  /** A tensor that has to be freed. */
  static final class Tensor {
    private HostTensor elements;

    Tensor(HostTensor elements) {
      this.elements = elements;
      MADE.incrementAndGet();
      OPEN.incrementAndGet();
    }

    HostTensor elements() {
      if (elements == null) {
        throw new IllegalStateException("tensor used after it was freed; expected one in use");
      }
      return elements;
    }

    void free() {
      if (elements != null) {
        elements = null;
        OPEN.decrementAndGet();
      }
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int priority() {
    return Integer.MIN_VALUE;
  }

  @Override
  public TensorType<Tensor> tensorType() {
    return TensorType.of(Tensor.class);
  }

  @Override
  public Availability probe() {
    return Availability.available("counts");
  }

  @Override
  public Kernels<Tensor> open(BackendOptions options) {
    return new Counting(new ReferenceProvider().open(options));
  }

  private record Counting(Kernels<HostTensor> kernels)
      implements Kernels<Tensor>, TensorAccess<Tensor> {
    @Override
    public TensorAccess<Tensor> tensors() {
      return this;
    }

    @Override
    public Set<Capability> capabilities() {
      EnumSet<Capability> capabilities = EnumSet.copyOf(kernels.capabilities());
      capabilities.remove(Capability.CALLER_SUPPLIED_OUTPUT);
      return capabilities;
    }

    @Override
    public long[] shape(Tensor tensor) {
      return tensor.elements().shape();
    }

    @Override
    public DType dtype(Tensor tensor) {
      return tensor.elements().dtype();
    }

    @Override
    public Tensor fromHost(HostTensor host, DType dtype) {
      return new Tensor(host.to(dtype));
    }

    @Override
    public HostTensor toHost(Tensor tensor) {
      return tensor.elements().to(tensor.elements().dtype());
    }

    @Override
    public void release(Tensor tensor) {
      tensor.free();
    }

    @Override
    public Moments<Tensor> statistics(Tensor x, Geometry geometry, Scope scope) {
      return wrap(kernels.statistics(x.elements(), geometry, scope));
    }

    @Override
    public Normalized<Tensor> reference(Tensor x, Normalization how, Tensor gamma, Tensor beta) {
      Normalized<HostTensor> result =
          kernels.reference(x.elements(), how, elements(gamma), elements(beta));
      return new Normalized<>(new Tensor(result.output()), wrap(result.statistics()));
    }

    @Override
    public Tensor forward(
        Tensor x,
        Normalization how,
        Moments<Tensor> reference,
        Tensor gamma,
        Tensor beta,
        Tensor output) {
      return new Tensor(kernels.forward(
          x.elements(), how, elements(reference), elements(gamma), elements(beta), null));
    }

    @Override
    public Differentiated<Tensor> backward(
        Tensor x,
        Tensor upstream,
        Normalization how,
        Moments<Tensor> reference,
        Tensor gamma,
        Tensor dx) {
      Differentiated<HostTensor> result = kernels.backward(
          x.elements(), upstream.elements(), how, elements(reference), elements(gamma), null);
      return new Differentiated<>(
          new Tensor(result.dx()),
          new Tensor(result.dgamma()),
          new Tensor(result.dbeta()),
          result.dreference() == null ? null : wrap(result.dreference()));
    }

    @Override
    public Tensor referenceGradient(
        Tensor r,
        Geometry geometry,
        Moments<Tensor> statistics,
        Moments<Tensor> gradient,
        long elements) {
      return new Tensor(kernels.referenceGradient(
          r.elements(), geometry, elements(statistics), elements(gradient), elements));
    }

    @Override
    public TwiceDifferentiated<Tensor> doubleBackward(
        Tensor x,
        Tensor upstream,
        GradientUpstream<Tensor> second,
        Normalization how,
        Moments<Tensor> reference,
        Tensor gamma) {
      GradientUpstream<HostTensor> of = new GradientUpstream<>(
          second.dx().elements(), elements(second.dgamma()), elements(second.dbeta()));
      TwiceDifferentiated<HostTensor> result = kernels.doubleBackward(
          x.elements(), upstream.elements(), of, how, elements(reference), elements(gamma));
      return new TwiceDifferentiated<>(
          new Tensor(result.x()), new Tensor(result.upstream()), new Tensor(result.gamma()));
    }

    @Override
    public GroupSums sums(Tensor x, Tensor upstream, Normalization how, Moments<Tensor> reference) {
      return kernels.sums(x.elements(), upstream.elements(), how, elements(reference));
    }

    @Override
    public Tensor write(
        Tensor x,
        Tensor upstream,
        Geometry geometry,
        Scope scope,
        GroupLines lines,
        Tensor output) {
      return new Tensor(
          kernels.write(x.elements(), elements(upstream), geometry, scope, lines, null));
    }

    /** Tensors stay open, for the test to count. */
    @Override
    public void close() {
      kernels.close();
    }

    private static Moments<Tensor> wrap(Moments<HostTensor> moments) {
      return new Moments<>(new Tensor(moments.mean()), new Tensor(moments.variance()));
    }

    private static Moments<HostTensor> elements(Moments<Tensor> moments) {
      return new Moments<>(moments.mean().elements(), moments.variance().elements());
    }

    private static HostTensor elements(Tensor tensor) {
      return tensor == null ? null : tensor.elements();
    }
  }
}
