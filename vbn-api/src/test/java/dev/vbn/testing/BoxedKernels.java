package dev.vbn.testing;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The recording kernels on tensors of another type. */
public final class BoxedKernels implements Kernels<Boxed>, TensorAccess<Boxed> {
  private final RecordingKernels kernels;

  /** Records in {@code kernels}. */
  public BoxedKernels(RecordingKernels kernels) {
    this.kernels = kernels;
  }

  private static @Nullable Boxed box(@Nullable HostTensor host) {
    return host == null ? null : new Boxed(host);
  }

  private static @Nullable Moments<Boxed> box(@Nullable Moments<HostTensor> moments) {
    return moments == null ? null : new Moments<>(box(moments.mean()), box(moments.variance()));
  }

  private static @Nullable HostTensor unbox(@Nullable Boxed boxed) {
    return boxed == null ? null : boxed.host();
  }

  private static Moments<HostTensor> unbox(Moments<Boxed> moments) {
    return new Moments<>(moments.mean().host(), moments.variance().host());
  }

  @Override
  public TensorAccess<Boxed> tensors() {
    return kernels.tensors() == null ? null : this;
  }

  @Override
  public Set<Capability> capabilities() {
    return kernels.capabilities();
  }

  @Override
  public String description() {
    return "boxes";
  }

  @Override
  public long[] shape(Boxed tensor) {
    return kernels.shape(tensor.host());
  }

  @Override
  public DType dtype(Boxed tensor) {
    return kernels.dtype(tensor.host());
  }

  @Override
  public Boxed fromHost(HostTensor host, DType dtype) {
    return box(kernels.fromHost(host, dtype));
  }

  @Override
  public HostTensor toHost(Boxed tensor) {
    return kernels.toHost(tensor.host());
  }

  @Override
  public void release(Boxed tensor) {
    kernels.release(tensor.host());
  }

  @Override
  public @Nullable MemoryRange memory(Boxed tensor) {
    return kernels.memory(tensor.host());
  }

  @Override
  public Moments<Boxed> statistics(Boxed x, Geometry geometry, Scope scope) {
    return box(kernels.statistics(x.host(), geometry, scope));
  }

  @Override
  public Normalized<Boxed> reference(
      Boxed x, Normalization how, @Nullable Boxed gamma, @Nullable Boxed beta) {
    Normalized<HostTensor> result = kernels.reference(x.host(), how, unbox(gamma), unbox(beta));
    return result == null ? null : new Normalized<>(box(result.output()), box(result.statistics()));
  }

  @Override
  public Boxed forward(
      Boxed x,
      Normalization how,
      Moments<Boxed> reference,
      @Nullable Boxed gamma,
      @Nullable Boxed beta,
      @Nullable Boxed output) {
    HostTensor result =
        kernels.forward(x.host(), how, unbox(reference), unbox(gamma), unbox(beta), unbox(output));
    return output != null ? output : box(result);
  }

  @Override
  public Differentiated<Boxed> backward(
      Boxed x,
      Boxed upstream,
      Normalization how,
      Moments<Boxed> reference,
      @Nullable Boxed gamma,
      @Nullable Boxed dx) {
    Differentiated<HostTensor> result =
        kernels.backward(x.host(), upstream.host(), how, unbox(reference), unbox(gamma), unbox(dx));
    return result == null
        ? null
        : new Differentiated<>(
            dx != null ? dx : box(result.dx()),
            box(result.dgamma()),
            box(result.dbeta()),
            box(result.dreference()));
  }

  @Override
  public TwiceDifferentiated<Boxed> doubleBackward(
      Boxed x,
      Boxed upstream,
      GradientUpstream<Boxed> second,
      Normalization how,
      Moments<Boxed> reference,
      @Nullable Boxed gamma) {
    TwiceDifferentiated<HostTensor> result = kernels.doubleBackward(
        x.host(),
        upstream.host(),
        new GradientUpstream<>(second.dx().host(), unbox(second.dgamma()), unbox(second.dbeta())),
        how,
        unbox(reference),
        unbox(gamma));
    return result == null
        ? null
        : new TwiceDifferentiated<>(box(result.x()), box(result.upstream()), box(result.gamma()));
  }

  @Override
  public GroupSums sums(Boxed x, Boxed upstream, Normalization how, Moments<Boxed> reference) {
    return kernels.sums(x.host(), upstream.host(), how, unbox(reference));
  }

  @Override
  public Boxed write(
      Boxed x,
      @Nullable Boxed upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable Boxed output) {
    return box(kernels.write(x.host(), unbox(upstream), geometry, scope, lines, unbox(output)));
  }

  @Override
  public Boxed referenceGradient(
      Boxed r,
      Geometry geometry,
      Moments<Boxed> statistics,
      Moments<Boxed> gradient,
      long elements) {
    return box(kernels.referenceGradient(
        r.host(), geometry, unbox(statistics), unbox(gradient), elements));
  }

  @Override
  public void close() {
    kernels.close();
  }
}
