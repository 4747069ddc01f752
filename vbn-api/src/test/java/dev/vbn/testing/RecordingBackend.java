package dev.vbn.testing;

import dev.vbn.Gradients;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A backend that computes nothing: it keeps what its kernels were called with, and answers zeros or
 * the moments that the test laid out. Tensors compare by identity, and so do the recorded calls.
 */
public final class RecordingBackend implements VbnBackend<HostTensor> {
  /** One call of a kernel, a record per kernel. */
  public sealed interface Call {}

  /** A call of {@link VbnBackend#statistics}. */
  public record Statistics(HostTensor x, Geometry geometry) implements Call {}

  /** A call of {@link VbnBackend#forward}. */
  public record Forward(
      HostTensor x,
      Normalization normalization,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output)
      implements Call {}

  /** A call of {@link VbnBackend#backward}. */
  public record Backward(
      HostTensor x,
      HostTensor upstream,
      Normalization normalization,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx)
      implements Call {}

  /** A call of {@link VbnBackend#referenceGradient}. */
  public record IntoReference(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements)
      implements Call {}

  private final Set<Capability> capabilities;
  private final List<Call> calls = new ArrayList<>();
  private final List<HostTensor> made = new ArrayList<>();
  private final List<HostTensor> released = new ArrayList<>();
  private int room = Integer.MAX_VALUE;
  private final Deque<Moments<HostTensor>> answers = new ArrayDeque<>();
  private final IdentityHashMap<HostTensor, DType> narrow = new IdentityHashMap<>();
  private boolean closed;

  /** With the given capabilities and no other. */
  public RecordingBackend(Capability... capabilities) {
    this.capabilities = Set.of(capabilities);
  }

  /** With every capability. */
  public static RecordingBackend capable() {
    return new RecordingBackend(Capability.values());
  }

  /** Calls of kernels so far. */
  public List<Call> calls() {
    return List.copyOf(calls);
  }

  /** What {@link #fromHost} has made. */
  public List<HostTensor> made() {
    return List.copyOf(made);
  }

  /** What was given to {@link #release}, in that order. */
  public List<HostTensor> released() {
    return List.copyOf(released);
  }

  /** Whether {@link #close} was called. */
  public boolean closed() {
    return closed;
  }

  /** Lays out the moments that the next statistics or forward call gives. */
  public void answer(HostTensor mean, HostTensor variance) {
    answers.add(new Moments<>(mean, variance));
  }

  /** A batch of zeros that this backend takes for one of type {@code dtype}. */
  public HostTensor batch(DType dtype, long... shape) {
    HostTensor tensor = HostTensor.zeros(dtype.hostType(), shape);
    narrow.put(tensor, dtype);
    return tensor;
  }

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return capabilities;
  }

  @Override
  public long[] shape(HostTensor tensor) {
    return tensor.shape();
  }

  @Override
  public DType dtype(HostTensor tensor) {
    return narrow.getOrDefault(tensor, tensor.dtype());
  }

  /** Lets {@link #fromHost} fail once it has made so many. */
  public void roomFor(int tensors) {
    room = tensors;
  }

  @Override
  public HostTensor fromHost(HostTensor host, DType dtype) {
    if (made.size() == room) {
      throw new IllegalStateException("no room");
    }
    HostTensor tensor = host.to(dtype);
    made.add(tensor);
    return tensor;
  }

  @Override
  public HostTensor toHost(HostTensor tensor) {
    return tensor.to(dtype(tensor).hostType());
  }

  @Override
  public void release(HostTensor tensor) {
    released.add(tensor);
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry) {
    calls.add(new Statistics(x, geometry));
    return moments(x, geometry.features());
  }

  @Override
  public Normalized<HostTensor> forward(
      HostTensor x,
      Normalization normalization,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    calls.add(new Forward(x, normalization, reference, gamma, beta, output));
    Geometry geometry = normalization.geometry();
    Moments<HostTensor> moments = normalization.scope() == Scope.EXAMPLE
        ? moments(x, geometry.batch(), geometry.features())
        : moments(x, geometry.features());
    return new Normalized<>(output == null ? batch(dtype(x), x.shape()) : output, moments);
  }

  @Override
  public Gradients<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization normalization,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx) {
    calls.add(new Backward(x, upstream, normalization, reference, gamma, dx));
    long features = normalization.geometry().features();
    DType parameterType = dtype(x).parameterType();
    return new Gradients<>(
        dx == null ? batch(dtype(x), x.shape()) : dx,
        HostTensor.zeros(parameterType, features),
        HostTensor.zeros(parameterType, features),
        normalization.referenceGradient() == ReferenceGradient.ATTACHED
            ? zeros(x, features)
            : null);
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    calls.add(new IntoReference(r, geometry, statistics, gradient, elements));
    return batch(dtype(r), r.shape());
  }

  @Override
  public void close() {
    closed = true;
  }

  private Moments<HostTensor> moments(HostTensor x, long... shape) {
    return answers.isEmpty() ? zeros(x, shape) : answers.remove();
  }

  private Moments<HostTensor> zeros(HostTensor x, long... shape) {
    DType type = statisticsType(dtype(x));
    return new Moments<>(HostTensor.zeros(type, shape), HostTensor.zeros(type, shape));
  }
}
