package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.vbn.spi.Capability;
import dev.vbn.spi.CountedPart;
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
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Masks. The kernels on an engine's memory know them; for operations, what counts is gathered,
 * computed as a batch of its own, and put back in its places, with 0 for what does not count: by
 * {@code take}, the one such operation that both engines have and record. NaN in what does not
 * count is never an operand, not even in the graph's gradient.
 */
final class MaskedDjlKernels implements Kernels<NDArray> {
  static final Set<Capability> CAPABILITIES = withMask();

  private final DjlKernels kernels;
  private final TensorAccess<NDArray> tensors;

  MaskedDjlKernels(DjlKernels kernels) {
    this.kernels = kernels;
    tensors = kernels.tensors();
  }

  private static Set<Capability> withMask() {
    EnumSet<Capability> all = EnumSet.of(Capability.MASK);
    all.addAll(DjlKernels.CAPABILITIES);
    return Collections.unmodifiableSet(all);
  }

  @Override
  public TensorAccess<NDArray> tensors() {
    return tensors;
  }

  @Override
  public Set<Capability> capabilities() {
    return CAPABILITIES;
  }

  @Override
  public String description() {
    return kernels.description();
  }

  @Override
  public Moments<NDArray> statistics(NDArray x, Geometry geometry, Scope scope) {
    if (geometry.counted() == null) {
      return kernels.statistics(x, geometry, scope);
    }
    EngineMemory direct = kernels.unrecorded(x);
    if (direct != null) {
      return direct.statistics(x, geometry, scope);
    }
    try (Parts parts = new Parts(x, geometry, scope)) {
      if (scope != Scope.EXAMPLE) {
        return parts.deliver(kernels.statistics(parts.take(x, 0), parts.geometry(0), scope));
      }
      NDList means = new NDList();
      NDList variances = new NDList();
      for (int i = 0; i < parts.count(); i++) {
        if (parts.isEmpty(i)) {
          means.add(parts.nan((int) geometry.features()));
          variances.add(parts.nan((int) geometry.features()));
        } else {
          Moments<NDArray> own = kernels.statistics(parts.take(x, i), parts.geometry(i), scope);
          means.add(own.mean());
          variances.add(own.variance());
        }
      }
      return parts.deliver(new Moments<>(NDArrays.concat(means), NDArrays.concat(variances)));
    }
  }

  @Override
  public Normalized<NDArray> reference(
      NDArray x, Normalization how, @Nullable NDArray gamma, @Nullable NDArray beta) {
    if (how.geometry().counted() == null) {
      return kernels.reference(x, how, gamma, beta);
    }
    EngineMemory direct = kernels.unrecorded(x);
    if (direct != null) {
      return direct.reference(x, how, gamma, beta);
    }
    try (Parts parts = new Parts(x, how.geometry(), how.scope())) {
      Normalized<NDArray> dense =
          kernels.reference(parts.take(x, 0), parts.of(how, 0), gamma, beta);
      return new Normalized<>(
          parts.putBack(new NDList(dense.output())), parts.deliver(dense.statistics()));
    }
  }

  @Override
  public NDArray forward(
      NDArray x,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma,
      @Nullable NDArray beta,
      @Nullable NDArray output) {
    if (how.geometry().counted() == null) {
      return kernels.forward(x, how, reference, gamma, beta, output);
    }
    EngineMemory direct = kernels.unrecorded(x);
    if (direct != null) {
      return direct.forward(x, how, reference, gamma, beta);
    }
    try (Parts parts = new Parts(x, how.geometry(), how.scope())) {
      NDList outputs = new NDList();
      for (int i = 0; i < parts.count(); i++) {
        if (!parts.isEmpty(i)) {
          outputs.add(
              kernels.forward(parts.take(x, i), parts.of(how, i), reference, gamma, beta, null));
        }
      }
      return parts.putBack(outputs);
    }
  }

  @Override
  public Differentiated<NDArray> backward(
      NDArray x,
      NDArray upstream,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma,
      @Nullable NDArray dx) {
    if (how.geometry().counted() == null) {
      return kernels.backward(x, upstream, how, reference, gamma, dx);
    }
    EngineMemory direct = kernels.memory(x);
    if (direct != null) {
      return direct.backward(x, upstream, how, reference, gamma);
    }
    try (Parts parts = new Parts(x, how.geometry(), how.scope())) {
      NDList gradients = new NDList();
      Sums sums = new Sums((int) how.geometry().features());
      NDArray constant = parts.constant(x);
      NDArray dy = parts.constant(upstream);
      for (int i = 0; i < parts.count(); i++) {
        if (!parts.isEmpty(i)) {
          Differentiated<NDArray> own = kernels.backward(
              parts.take(constant, i), parts.take(dy, i), parts.of(how, i), reference, gamma, null);
          gradients.add(own.dx());
          sums.add(own);
        }
      }
      return sums.with(x, parts.putBack(gradients));
    }
  }

  @Override
  public TwiceDifferentiated<NDArray> doubleBackward(
      NDArray x,
      NDArray upstream,
      GradientUpstream<NDArray> second,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma) {
    if (how.geometry().counted() == null) {
      return kernels.doubleBackward(x, upstream, second, how, reference, gamma);
    }
    try (Parts parts = new Parts(x, how.geometry(), how.scope())) {
      NDList ofX = new NDList();
      NDList ofUpstream = new NDList();
      double[] ofGamma = new double[(int) how.geometry().features()];
      NDArray constant = parts.constant(x);
      NDArray dy = parts.constant(upstream);
      NDArray v = parts.constant(second.dx());
      for (int i = 0; i < parts.count(); i++) {
        if (!parts.isEmpty(i)) {
          TwiceDifferentiated<NDArray> own = kernels.doubleBackward(
              parts.take(constant, i),
              parts.take(dy, i),
              new GradientUpstream<>(parts.take(v, i), second.dgamma(), second.dbeta()),
              parts.of(how, i),
              reference,
              gamma);
          ofX.add(own.x());
          ofUpstream.add(own.upstream());
          add(own.gamma(), ofGamma);
        }
      }
      return new TwiceDifferentiated<>(
          parts.putBack(ofX),
          parts.putBack(ofUpstream),
          result(x, ofGamma, tensors.dtype(x).parameterType()));
    }
  }

  @Override
  public GroupSums sums(
      NDArray x, NDArray upstream, Normalization how, Moments<NDArray> reference) {
    if (how.geometry().counted() == null) {
      return kernels.sums(x, upstream, how, reference);
    }
    EngineMemory direct = kernels.memory(x);
    if (direct != null) {
      return direct.sums(x, upstream, how, reference);
    }
    int features = (int) how.geometry().features();
    try (Parts parts = new Parts(x, how.geometry(), how.scope())) {
      int groups = parts.count() * features;
      GroupSums all = new GroupSums(new double[groups], new double[groups]);
      NDArray constant = parts.constant(x);
      NDArray dy = parts.constant(upstream);
      for (int i = 0; i < parts.count(); i++) {
        if (!parts.isEmpty(i)) {
          GroupSums own =
              kernels.sums(parts.take(constant, i), parts.take(dy, i), parts.of(how, i), reference);
          System.arraycopy(own.upstream(), 0, all.upstream(), i * features, features);
          System.arraycopy(own.upstreamInput(), 0, all.upstreamInput(), i * features, features);
        }
      }
      return all;
    }
  }

  @Override
  public NDArray write(
      NDArray x,
      @Nullable NDArray upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable NDArray output) {
    if (geometry.counted() == null) {
      return kernels.write(x, upstream, geometry, scope, lines, output);
    }
    EngineMemory direct = kernels.memory(x);
    if (direct != null) {
      return direct.write(x, upstream, geometry, scope, lines);
    }
    try (Parts parts = new Parts(x, geometry, scope)) {
      NDList outputs = new NDList();
      NDArray constant = parts.constant(x);
      NDArray dy = upstream == null ? null : parts.constant(upstream);
      for (int i = 0; i < parts.count(); i++) {
        if (!parts.isEmpty(i)) {
          outputs.add(kernels.write(
              parts.take(constant, i),
              dy == null ? null : parts.take(dy, i),
              parts.geometry(i),
              scope,
              lines.ofGroup(i, (int) geometry.features()),
              null));
        }
      }
      return parts.putBack(outputs);
    }
  }

  private void add(NDArray of, double[] to) {
    double[] values = tensors.toHost(of).toDoubles();
    for (int i = 0; i < to.length; i++) {
      to[i] += values[i];
    }
  }

  /** A result that belongs to the caller. */
  private NDArray result(NDArray x, double[] values, DType type) {
    NDArray result = tensors.fromHost(HostTensor.of(values, values.length), type);
    result.attach(x.getManager());
    return result;
  }

  /** What the parts of a batch add up to, in 64 bits. */
  private final class Sums {
    private final double[] dgamma;
    private final double[] dbeta;
    private final double[] dmean;
    private final double[] dvariance;
    private boolean attached;

    Sums(int features) {
      dgamma = new double[features];
      dbeta = new double[features];
      dmean = new double[features];
      dvariance = new double[features];
    }

    void add(Differentiated<NDArray> part) {
      MaskedDjlKernels.this.add(part.dgamma(), dgamma);
      MaskedDjlKernels.this.add(part.dbeta(), dbeta);
      Moments<NDArray> dreference = part.dreference();
      if (dreference != null) {
        attached = true;
        MaskedDjlKernels.this.add(dreference.mean(), dmean);
        MaskedDjlKernels.this.add(dreference.variance(), dvariance);
      }
    }

    Differentiated<NDArray> with(NDArray x, NDArray dx) {
      DType type = tensors.dtype(x).parameterType();
      return new Differentiated<>(
          dx,
          result(x, dgamma, type),
          result(x, dbeta, type),
          attached
              ? new Moments<>(result(x, dmean, DType.FLOAT64), result(x, dvariance, DType.FLOAT64))
              : null);
    }
  }

  @Override
  public NDArray referenceGradient(
      NDArray r,
      Geometry geometry,
      Moments<NDArray> statistics,
      Moments<NDArray> gradient,
      long elements) {
    if (geometry.counted() == null) {
      return kernels.referenceGradient(r, geometry, statistics, gradient, elements);
    }
    EngineMemory direct = kernels.memory(r);
    if (direct != null) {
      return direct.referenceGradient(r, geometry, statistics, gradient, elements);
    }
    try (Parts parts = new Parts(r, geometry, Scope.BATCH)) {
      NDArray dense = kernels.referenceGradient(
          parts.take(parts.constant(r), 0), parts.geometry(0), statistics, gradient, elements);
      return parts.putBack(new NDList(dense));
    }
  }

  @Override
  public void close() {
    kernels.close();
  }

  /**
   * The parts of a batch that are each computed together, and the arrays of one call, freed with
   * it.
   */
  private static final class Parts implements AutoCloseable {
    private final CountedPart[] parts;
    private final Geometry whole;
    private final NDManager caller;
    private final NDManager own;
    private final Shape shape;
    private final DataType type;

    Parts(NDArray batch, Geometry geometry, Scope scope) {
      whole = geometry;
      parts = CountedPart.of(geometry, scope);
      caller = batch.getManager();
      own = caller.newSubManager(batch.getDevice());
      shape = batch.getShape();
      type = batch.getDataType();
    }

    int count() {
      return parts.length;
    }

    boolean isEmpty(int part) {
      return parts[part].elements() == 0;
    }

    Geometry geometry(int part) {
      return parts[part].dense();
    }

    Normalization of(Normalization how, int part) {
      return new Normalization(
          geometry(part), how.scope(), how.weight(), how.epsilon(), how.referenceGradient());
    }

    /** Part of no graph. */
    NDArray constant(NDArray batch) {
      return adopt(batch.stopGradient());
    }

    private NDArray adopt(NDArray array) {
      array.attach(own);
      return array;
    }

    /** The dense batch of what counts in a part. */
    NDArray take(NDArray batch, int part) {
      Shape dense = new Shape(parts[part].denseShape());
      long[] places = new long[Math.toIntExact(dense.size())];
      parts[part].forEachRun(Integer.MAX_VALUE, (inBatch, inDense, length) -> {
        for (int i = 0; i < length; i++) {
          places[(int) inDense + i] = inBatch + i;
        }
      });
      NDArray flat = adopt(batch.reshape(whole.size()));
      return flat.take(own, Workspace.copyOf(own, places)).reshape(dense);
    }

    /** The batch from the dense ones of all non-empty parts; 0 where nothing counts. */
    NDArray putBack(NDList dense) {
      long[] places = new long[Math.toIntExact(whole.size())];
      long counted = whole.countedElements() * whole.features();
      Arrays.fill(places, counted); // behind all that counts: the 0
      long first = 0;
      for (CountedPart part : parts) {
        long begin = first;
        part.forEachRun(Integer.MAX_VALUE, (inBatch, inDense, length) -> {
          for (int i = 0; i < length; i++) {
            places[(int) inBatch + i] = begin + inDense + i;
          }
        });
        first += part.elements() * whole.features();
      }
      NDList flat = new NDList();
      dense.forEach(each -> flat.add(each.reshape(each.size())));
      NDArray zero = own.zeros(new Shape(1), DataType.FLOAT32); // MXNet makes none of 16 bits
      flat.add(type == DataType.FLOAT32 ? zero : zero.toType(type, false));
      NDArray result =
          NDArrays.concat(flat).take(own, Workspace.copyOf(own, places)).reshape(shape);
      result.attach(caller);
      return result;
    }

    NDArray nan(int features) {
      double[] values = new double[features];
      Arrays.fill(values, Double.NaN);
      return Workspace.copyOf(own, values, new Shape(1, features), DataType.FLOAT64);
    }

    Moments<NDArray> deliver(Moments<NDArray> moments) {
      moments.mean().attach(caller);
      moments.variance().attach(caller);
      return moments;
    }

    @Override
    public void close() {
      own.close();
    }
  }
}
