package dev.vbn.djl;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.vbn.Gradients;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The kernels as operations on {@code NDArray}: what is as large as the batch in the batch's own
 * width, what is per feature in 64 bits. Recorded by a {@code GradientCollector}, {@link
 * #statistics} and {@link #forward} have the gradients that {@link #backward} computes.
 */
final class DjlBackend implements VbnBackend<NDArray> {
  /** Not BFLOAT16: DJL has the name, but on PyTorch using it aborts the JVM, and MXNet lacks it. */
  private static final Set<Capability> CAPABILITIES =
      Set.of(Capability.FLOAT64, Capability.FLOAT16);

  private final NDManager manager;
  private volatile boolean closed;

  DjlBackend(Engine engine) {
    manager = engine.newBaseManager();
  }

  @Override
  public Class<NDArray> tensorType() {
    return NDArray.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return CAPABILITIES;
  }

  @Override
  public long[] shape(NDArray tensor) {
    requireOpen();
    return tensor.getShape().getShape().clone();
  }

  @Override
  public DType dtype(NDArray tensor) {
    requireOpen();
    return switch (tensor.getDataType()) {
      case FLOAT32 -> DType.FLOAT32;
      case FLOAT64 -> DType.FLOAT64;
      case FLOAT16 -> DType.FLOAT16;
      case BFLOAT16 -> DType.BFLOAT16;
      default ->
        throw new IllegalArgumentException(
            "array is " + tensor.getDataType() + "; expected FLOAT32 or " + CAPABILITIES);
    };
  }

  @Override
  public NDArray fromHost(HostTensor host, DType dtype) {
    requireOpen();
    Shape shape = new Shape(host.shape());
    return switch (dtype) {
      case FLOAT32 -> Workspace.copyOf(manager, host.to(dtype).floats(), shape);
      case FLOAT64 -> {
        requireCapability(Capability.FLOAT64);
        yield Workspace.copyOf(manager, host.toDoubles(), shape, DataType.FLOAT64);
      }
      case FLOAT16 -> narrow(host.to(dtype), shape, Capability.FLOAT16, DataType.FLOAT16);
      case BFLOAT16 -> narrow(host.to(dtype), shape, Capability.BFLOAT16, DataType.BFLOAT16);
    };
  }

  private NDArray narrow(HostTensor rounded, Shape shape, Capability capability, DataType type) {
    requireCapability(capability);
    try (NDArray array = Workspace.copyOf(manager, rounded.floats(), shape)) {
      return array.toType(type, false);
    }
  }

  private void requireCapability(Capability capability) {
    if (!CAPABILITIES.contains(capability)) {
      throw new UnsupportedCapabilityException(
          capability,
          capability + " was asked for; expected FLOAT32 or what engine "
              + manager.getEngine().getEngineName() + " has: " + CAPABILITIES);
    }
  }

  @Override
  public HostTensor toHost(NDArray tensor) {
    long[] shape = shape(tensor);
    return switch (tensor.getDataType()) {
      case FLOAT32 -> HostTensor.of(tensor.toFloatArray(), shape);
      case FLOAT64 -> HostTensor.of(tensor.toDoubleArray(), shape);
      default -> {
        try (NDArray wide = tensor.toType(DataType.FLOAT32, true)) {
          yield HostTensor.of(wide.toFloatArray(), shape);
        }
      }
    };
  }

  @Override
  public void release(NDArray tensor) {
    tensor.close();
  }

  @Override
  public Moments<NDArray> statistics(NDArray x, Geometry geometry) {
    requireOpen();
    Layout layout = new Layout(geometry, Scope.BATCH);
    try (Workspace work = Workspace.inGraph(x)) {
      NDArray view = layout.view(work.enter(x, x.getShape()));
      Centered centered = Centered.onItself(work, layout, view, false);
      return results(work, layout, centered.mean(), centered.variance());
    }
  }

  private static Moments<NDArray> results(
      Workspace work, Layout layout, NDArray mean, NDArray variance) {
    Shape shape = layout.statisticsShape();
    return new Moments<>(work.result(mean.reshape(shape)), work.result(variance.reshape(shape)));
  }

  @Override
  public Normalized<NDArray> forward(
      NDArray x,
      Normalization how,
      @Nullable Moments<NDArray> reference,
      @Nullable NDArray gamma,
      @Nullable NDArray beta,
      @Nullable NDArray output) {
    requireOpen();
    Layout layout = new Layout(how.geometry(), how.scope());
    boolean detached = how.referenceGradient() == ReferenceGradient.DETACHED;
    try (Workspace work = Workspace.inGraph(x)) {
      Moments<NDArray> given = reference == null ? null : enter(work, layout, reference, detached);
      NDArray view = layout.view(work.enter(x, x.getShape()));
      Centered centered = centered(work, layout, view, how, given, given == null && detached);
      Mixture mixture = mix(work, centered, how, given);
      Shape perFeature = new Shape(1, layout.features());
      NDArray scale = gamma == null ? work.constant(1) : work.wide(work.enter(gamma, perFeature));
      NDArray slope = scale.div(mixture.deviation());
      NDArray constant = slope.mul(centered.fromOrigin(mixture.mean())).neg();
      if (beta != null) {
        constant = constant.add(work.wide(work.enter(beta, perFeature)));
      }
      NDArray line = work.cast(centered.line(slope, constant), x.getDataType());
      // Statistics that are the reference's become results by being copied.
      boolean alone = given != null && how.scope() == Scope.NONE;
      NDArray mean = alone ? work.copy(mixture.mean()) : mixture.mean();
      NDArray variance = alone ? work.copy(mixture.variance()) : mixture.variance();
      return new Normalized<>(
          work.result(line.reshape(x.getShape())), results(work, layout, mean, variance));
    }
  }

  private static Moments<NDArray> enter(
      Workspace work, Layout layout, Moments<NDArray> moments, boolean constant) {
    Shape shape = new Shape(1, layout.features());
    return constant
        ? new Moments<>(
            work.enterConstant(moments.mean(), shape),
            work.enterConstant(moments.variance(), shape))
        : new Moments<>(work.enter(moments.mean(), shape), work.enter(moments.variance(), shape));
  }

  private static Centered centered(
      Workspace work,
      Layout layout,
      NDArray view,
      Normalization how,
      @Nullable Moments<NDArray> reference,
      boolean constantStatistics) {
    // Weight 0 must not see the live statistics: 0 * NaN is NaN.
    return how.scope() == Scope.NONE && reference != null
        ? centeredOn(work, layout, view, reference, how.epsilon())
        : Centered.onItself(work, layout, view, constantStatistics);
  }

  private static Centered centeredOn(
      Workspace work, Layout layout, NDArray view, Moments<NDArray> moments, double epsilon) {
    double[] means = moments.mean().toDoubleArray();
    double[] deviations = moments.variance().toDoubleArray();
    for (int i = 0; i < deviations.length; i++) {
      deviations[i] = Math.sqrt(deviations[i] + epsilon);
    }
    return Centered.on(work, layout, view, means, deviations);
  }

  private static Mixture mix(
      Workspace work, Centered centered, Normalization how, @Nullable Moments<NDArray> reference) {
    if (reference != null && how.scope() == Scope.NONE) {
      return Mixture.of(work, reference, how.epsilon());
    }
    Moments<NDArray> live = new Moments<>(centered.mean(), centered.variance());
    return reference == null
        ? Mixture.of(work, live, how.epsilon())
        : Mixture.of(work, reference, live, how);
  }

  @Override
  public Gradients<NDArray> backward(
      NDArray x,
      NDArray upstream,
      Normalization how,
      @Nullable Moments<NDArray> reference,
      @Nullable NDArray gamma,
      @Nullable NDArray dx) {
    requireOpen();
    Layout layout = new Layout(how.geometry(), how.scope());
    double w = how.weight();
    try (Workspace work = Workspace.ofConstants(x)) {
      Moments<NDArray> given = reference == null ? null : enter(work, layout, reference, false);
      NDArray view = layout.view(work.enter(x, x.getShape()));
      Centered centered = centered(work, layout, view, how, given, false);
      Mixture mixture = mix(work, centered, how, given);
      NDArray s = mixture.deviation();
      NDArray fromOrigin = centered.fromOrigin(mixture.mean());
      NDArray dyView = layout.view(work.enter(upstream, x.getShape()));
      NDArray dy = work.widen(dyView, centered.type());
      NDArray a = layout.sum(work, dy);
      NDArray b = centered.sumWith(dy).sub(a.mul(fromOrigin)).div(s);
      Shape perFeature = new Shape(1, layout.features());
      NDArray factor =
          (gamma == null ? work.constant(1) : work.wide(work.enter(gamma, perFeature))).div(s);

      NDArray spread = centered.perElement(factor);
      NDArray result;
      if (w == 0) { // an element's gradient is left to itself: 0 * NaN is NaN
        result = dy.mul(spread);
      } else {
        NDArray share = work.constant(-w / layout.elements());
        NDArray slope = b.mul(share).div(s);
        NDArray constant = a.mul(share).sub(slope.mul(fromOrigin));
        NDArray through = centered.line(slope, constant);
        result = work.mul(work.add(through, dy), true, spread);
      }
      Moments<NDArray> toReference = null;
      if (given != null && how.referenceGradient() == ReferenceGradient.ATTACHED) {
        toReference = toReference(work, layout, mixture, factor, a, b, w);
      }
      DataType parameters = centered.type();
      return new Gradients<>(
          work.result(work.cast(result, x.getDataType()).reshape(x.getShape())),
          work.result(overGroups(layout, work, b, parameters)),
          work.result(overGroups(layout, work, a, parameters)),
          toReference);
    }
  }

  private static Moments<NDArray> toReference(
      Workspace work,
      Layout layout,
      Mixture mixture,
      NDArray factor,
      NDArray a,
      NDArray b,
      double w) {
    NDArray dm = factor.mul(a).mul(work.constant(-(1 - w)));
    NDArray dv = factor.mul(b).div(mixture.deviation()).mul(work.constant(-(1 - w) / 2));
    NDArray d = mixture.difference();
    NDArray dMean = d == null ? dm : dm.sub(d.mul(dv).mul(work.constant(2 * w)));
    return new Moments<>(
        work.result(overGroups(layout, work, dMean, DataType.FLOAT64)),
        work.result(overGroups(layout, work, dv, DataType.FLOAT64)));
  }

  private static NDArray overGroups(
      Layout layout, Workspace work, NDArray perGroup, DataType type) {
    NDArray sum =
        layout.groups() == 1 ? perGroup.reshape(layout.features()) : perGroup.sum(new int[] {0});
    return work.cast(sum, type);
  }

  @Override
  public NDArray referenceGradient(
      NDArray r,
      Geometry geometry,
      Moments<NDArray> statistics,
      Moments<NDArray> gradient,
      long elements) {
    requireOpen();
    Layout layout = new Layout(geometry, Scope.BATCH);
    try (Workspace work = Workspace.ofConstants(r)) {
      Moments<NDArray> of = enter(work, layout, statistics, false);
      Moments<NDArray> to = enter(work, layout, gradient, false);
      NDArray view = layout.view(work.enter(r, r.getShape()));
      Centered centered = centeredOn(work, layout, view, of, 0);
      NDArray slope = to.variance().mul(work.constant(2.0 / elements));
      NDArray constant = to.mean()
          .div(work.constant((double) elements))
          .sub(slope.mul(centered.fromOrigin(of.mean())));
      NDArray line = work.cast(centered.line(slope, constant), r.getDataType());
      return work.result(line.reshape(r.getShape()));
    }
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("djl backend used after close; expected an open one");
    }
  }

  @Override
  public void close() {
    closed = true;
    manager.close();
  }
}
