package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.SecondSlopes;
import dev.vbn.spi.SecondSums;
import dev.vbn.spi.Slopes;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import java.util.Arrays;
import java.util.Set;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * The kernels on {@code NDArray}: on the engine's own memory where possible, else as its
 * operations, with what is as large as the batch in the batch's own width, and what is per group in
 * 64 bits. Recorded by a {@code GradientCollector}, {@link #statistics}, {@link #reference} and
 * {@link #forward} have the gradients that {@link #backward} computes.
 */
final class DjlKernels implements Kernels<NDArray> {
  /** Not BFLOAT16: DJL has the name, but on PyTorch using it aborts the JVM, and MXNet lacks it. */
  static final Set<Capability> CAPABILITIES = Set.of(
      Capability.FLOAT64,
      Capability.FLOAT64_STATISTICS,
      Capability.FLOAT16,
      Capability.SUBNORMALS,
      Capability.DOUBLE_BACKWARD,
      Capability.CONDITIONAL);

  private final NDManager manager;
  private final DjlTensors tensors;

  /** Null where everything is to be computed with operations. */
  private final @Nullable EngineMemory memory;

  /** The manager, which is closed with the kernels, owns the arrays that come from the host. */
  DjlKernels(NDManager manager, @Nullable EngineMemory memory) {
    this.manager = manager;
    this.memory = memory;
    tensors = new DjlTensors(manager);
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
    return DjlProvider.describe(manager.getEngine(), manager.getDevice());
  }

  @Override
  public Moments<NDArray> statistics(NDArray x, Geometry geometry, Scope scope) {
    EngineMemory direct = unrecorded(x);
    if (direct != null) {
      return direct.statistics(x, geometry, scope);
    }
    Layout layout = new Layout(geometry, scope);
    try (Workspace work = Workspace.inGraph(x)) {
      LiveStatistics live = LiveStatistics.of(work, layout, batch(work, layout, x), false);
      return results(work, layout, live);
    }
  }

  /**
   * What computes on a batch's own memory; null where that is not possible. For {@link #backward},
   * {@link #sums}, {@link #write} and {@link #referenceGradient}.
   */
  @Nullable
  EngineMemory memory(NDArray x) {
    return memory != null && EngineMemory.holds(x) ? memory : null;
  }

  /** The same for what may be part of a graph: the other passes. */
  @Nullable
  EngineMemory unrecorded(NDArray x) {
    EngineMemory direct = memory(x);
    return direct == null || EngineMemory.mayRecord(x) ? null : direct;
  }

  private static Centered batch(Workspace work, Layout layout, NDArray x) {
    return Centered.of(work, layout, layout.view(work.enter(x, x.getShape())));
  }

  private static Moments<NDArray> results(Workspace work, Layout layout, LiveStatistics live) {
    Shape shape = layout.statisticsShape();
    return new Moments<>(
        work.result(live.mean().reshape(shape)), work.result(live.variance().reshape(shape)));
  }

  @Override
  public Normalized<NDArray> reference(
      NDArray x, Normalization how, @Nullable NDArray gamma, @Nullable NDArray beta) {
    EngineMemory direct = unrecorded(x);
    if (direct != null) {
      return direct.reference(x, how, gamma, beta);
    }
    Layout layout = new Layout(how.geometry(), how.scope());
    boolean constant = how.referenceGradient() != ReferenceGradient.ATTACHED;
    try (Workspace work = Workspace.inGraph(x)) {
      LiveStatistics live = LiveStatistics.of(work, layout, batch(work, layout, x), constant);
      Mixture[] groups = new Mixture[live.means().length];
      Arrays.setAll(groups, i -> how.alone(live.means()[i], live.variances()[i]));
      Centered centered = centered(live.batch(), groups, reach(groups, how, live, null));
      NDArray deviation = live.variance().add(work.constant(how.epsilon())).sqrt();
      return new Normalized<>(
          output(work, layout, centered, live.mean(), deviation, groups, gamma, beta, x),
          results(work, layout, live));
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
    EngineMemory direct = unrecorded(x);
    if (direct != null) {
      return direct.forward(x, how, reference, gamma, beta);
    }
    Layout layout = new Layout(how.geometry(), how.scope());
    boolean constant = how.referenceGradient() != ReferenceGradient.ATTACHED;
    boolean allConstant = how.referenceGradient() == ReferenceGradient.ALL_DETACHED;
    try (Workspace work = Workspace.inGraph(x)) {
      Moments<NDArray> given = enter(work, layout, reference, constant);
      Centered batch = batch(work, layout, x);
      LiveStatistics live =
          how.scope() == Scope.NONE ? null : LiveStatistics.of(work, layout, batch, allConstant);
      Mixture[] groups = mix(how, given, live);
      Centered centered =
          centered(live == null ? batch : live.batch(), groups, reach(groups, how, live, given));
      NDArray mean = given.mean();
      NDArray variance = given.variance();
      if (live != null) {
        double w = how.weight();
        NDArray d = live.mean().sub(given.mean());
        NDList weights = work.constants(w, w * (1 - w), 1 - w);
        mean = d.mul(weights.get(0)).add(mean);
        variance = live.variance()
            .mul(weights.get(0))
            .add(d.square().mul(weights.get(1)))
            .add(variance.mul(weights.get(2)));
      }
      NDArray deviation = variance.add(work.constant(how.epsilon())).sqrt();
      return output(work, layout, centered, mean, deviation, groups, gamma, beta, x);
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

  /** The statistics that normalise each group. */
  private static Mixture[] mix(
      Normalization how, Moments<NDArray> reference, @Nullable LiveStatistics live) {
    double[] mr = reference.mean().toDoubleArray();
    double[] vr = reference.variance().toDoubleArray();
    Mixture[] groups = new Mixture[live == null ? mr.length : live.means().length];
    Arrays.setAll(groups, i -> {
      int feature = i % mr.length;
      return live == null
          ? how.alone(mr[feature], vr[feature])
          : how.mix(mr[feature], vr[feature], live.means()[i], live.variances()[i]);
    });
    return groups;
  }

  /**
   * How far the mean of each group may be from where its values are 0, for {@code a*x + b} to be
   * accurate: a few deviations, of whichever of the statistics has the smallest. An outlier makes
   * all of them large except the reference's.
   */
  private static double[] reach(
      Mixture[] groups,
      Normalization how,
      @Nullable LiveStatistics live,
      @Nullable Moments<NDArray> reference) {
    double[] vr = reference == null ? null : reference.variance().toDoubleArray();
    double[] reach = new double[groups.length];
    for (int i = 0; i < reach.length; i++) {
      double smallest = groups[i].deviation();
      if (vr != null) {
        smallest = Math.min(smallest, Math.sqrt(vr[i % vr.length] + how.epsilon()));
      }
      if (live != null) {
        smallest = Math.min(smallest, Math.sqrt(live.variances()[i]));
      }
      reach[i] = Centered.NEAR * smallest;
    }
    return reach;
  }

  private static Centered centered(Centered batch, Mixture[] groups, double[] distances) {
    double[] means = new double[groups.length];
    double[] deviations = new double[groups.length];
    for (int i = 0; i < groups.length; i++) {
      means[i] = groups[i].mean();
      deviations[i] = groups[i].deviation();
    }
    return batch.around(means, deviations, distances);
  }

  private static NDArray output(
      Workspace work,
      Layout layout,
      Centered centered,
      NDArray mean,
      NDArray deviation,
      Mixture[] groups,
      @Nullable NDArray gamma,
      @Nullable NDArray beta,
      NDArray x) {
    Shape perFeature = new Shape(1, layout.features());
    NDArray scale = gamma == null ? work.constant(1) : work.wide(work.enter(gamma, perFeature));
    NDArray slope = scale.div(deviation);
    NDArray constant = slope.mul(centered.fromOrigin(mean)).neg();
    if (beta != null) {
      constant = constant.add(work.wide(work.enter(beta, perFeature)));
    }
    double[] sizes = new double[groups.length];
    Arrays.setAll(sizes, i -> 1 / groups[i].deviation());
    NDArray line = work.cast(centered.line(slope, constant, sizes), x.getDataType());
    return work.result(line.reshape(x.getShape()));
  }

  /** Part of no graph, so that what is per group is computed in Java. */
  @Override
  public Differentiated<NDArray> backward(
      NDArray x,
      NDArray upstream,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma,
      @Nullable NDArray dx) {
    EngineMemory direct = memory(x);
    if (direct != null) {
      return direct.backward(x, upstream, how, reference, gamma);
    }
    Layout layout = new Layout(how.geometry(), how.scope());
    try (Workspace work = Workspace.ofConstants(x)) {
      Moments<NDArray> given = enter(work, layout, reference, true);
      Centered batch = batch(work, layout, x);
      LiveStatistics live =
          how.scope() == Scope.NONE ? null : LiveStatistics.of(work, layout, batch, true);
      Mixture[] groups = mix(how, given, live);
      Centered centered =
          centered(live == null ? batch : live.batch(), groups, reach(groups, how, live, given));
      NDArray dy = work.widen(layout.view(work.enter(upstream, x.getShape())), centered.type());
      Gradient gradient =
          new Gradient(layout.features(), how, gamma == null ? null : doubles(gamma));
      double[] sums = layout.sum(work, dy).toDoubleArray();
      double[] sumsAround = centered.sumsAround(groups, dy, sums);
      for (int i = 0; i < groups.length; i++) {
        gradient.add(i, groups[i], sums[i], sumsAround[i], centered.origin(i));
      }
      boolean alone = how.weight() == 0; // an element's gradient is left to itself: 0 * NaN is NaN
      NDArray share =
          alone ? dy : work.add(centered.line(gradient.input, gradient.constant), true, dy);
      NDArray result = centered.times(share, !alone, gradient.upstream);
      boolean attached = how.referenceGradient() == ReferenceGradient.ATTACHED;
      return new Differentiated<>(
          work.result(work.cast(result, x.getDataType()).reshape(x.getShape())),
          work.result(work.perFeature(gradient.gamma, centered.type())),
          work.result(work.perFeature(gradient.beta, centered.type())),
          !attached
              ? null
              : new Moments<>(
                  work.result(work.perFeature(gradient.referenceMean, DataType.FLOAT64)),
                  work.result(work.perFeature(gradient.referenceVariance, DataType.FLOAT64))));
    }
  }

  /** In 64 bits throughout, whatever the batch, and part of no graph. */
  @Override
  public TwiceDifferentiated<NDArray> doubleBackward(
      NDArray x,
      NDArray upstream,
      GradientUpstream<NDArray> second,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma) {
    Layout layout = new Layout(how.geometry(), how.scope());
    try (Workspace work = Workspace.ofConstants(x)) {
      Moments<NDArray> given = enter(work, layout, reference, true);
      LiveStatistics live = how.scope() == Scope.NONE
          ? null
          : LiveStatistics.of(work, layout, batch(work, layout, x), true);
      Mixture[] groups = mix(how, given, live);
      NDArray dy = work.wide(layout.view(work.enter(upstream, x.getShape())));
      NDArray v = work.wide(layout.view(work.enter(second.dx(), x.getShape())));
      NDArray deviation = work.wide(layout.view(work.enter(x, x.getShape())))
          .sub(spread(work, layout, groups, Mixture::mean));
      NDArray xh = deviation.div(spread(work, layout, groups, Mixture::deviation));
      double[] a = layout.sum(work, dy).toDoubleArray();
      double[] b = layout.sum(work, dy.mul(xh)).toDoubleArray();
      double[] sumV = layout.sum(work, v).toDoubleArray();
      double[] w = layout.sum(work, v.mul(xh)).toDoubleArray();
      double[] d = layout.sum(work, dy.mul(v)).toDoubleArray();
      double @Nullable [] scale = gamma == null ? null : doubles(gamma);
      double @Nullable [] vgamma = second.dgamma() == null ? null : doubles(second.dgamma());
      double @Nullable [] vbeta = second.dbeta() == null ? null : doubles(second.dbeta());
      SecondSlopes[] slopes = new SecondSlopes[groups.length];
      double[] ofGamma = new double[Math.toIntExact(layout.features())];
      for (int i = 0; i < slopes.length; i++) {
        int feature = i % ofGamma.length;
        slopes[i] = how.secondSlopes(
            groups[i],
            scale == null ? 1 : scale[feature],
            how.elementsPerGroup(i / ofGamma.length),
            new SecondSums(a[i], b[i], sumV[i], w[i], d[i]),
            vgamma == null ? 0 : vgamma[feature],
            vbeta == null ? 0 : vbeta[feature]);
        ofGamma[feature] += slopes[i].gamma();
      }
      NDArray cross = spread(work, layout, slopes, SecondSlopes::cross);
      NDArray ofX = dy.mul(cross);
      if (how.weight() != 0) { // else x has no part in its own: 0 * NaN is NaN
        ofX = ofX.add(v.mul(spread(work, layout, slopes, SecondSlopes::input)))
            .add(deviation.mul(spread(work, layout, slopes, SecondSlopes::distance)))
            .add(spread(work, layout, slopes, SecondSlopes::inputConstant));
      }
      NDArray ofUpstream = v.mul(spread(work, layout, slopes, SecondSlopes::upstream))
          .add(deviation.mul(cross))
          .add(spread(work, layout, slopes, SecondSlopes::upstreamConstant));
      DataType type = x.getDataType();
      DataType parameterType = type == DataType.FLOAT64 ? DataType.FLOAT64 : DataType.FLOAT32;
      return new TwiceDifferentiated<>(
          work.result(work.cast(ofX, type).reshape(x.getShape())),
          work.result(work.cast(ofUpstream, type).reshape(x.getShape())),
          work.result(work.perFeature(ofGamma, parameterType)));
    }
  }

  /** A number of each group, in a shape that broadcasts against a view. */
  private static <G> NDArray spread(
      Workspace work, Layout layout, G[] groups, ToDoubleFunction<G> number) {
    return spread(work, layout, Arrays.stream(groups).mapToDouble(number).toArray());
  }

  private static NDArray spread(Workspace work, Layout layout, double[] numbers) {
    return layout.spread(work.constant(numbers, layout.groupShape(), DataType.FLOAT64));
  }

  private static double[] doubles(NDArray array) {
    if (array.getDataType() == DataType.FLOAT64) {
      return array.toDoubleArray();
    }
    float[] floats = array.toFloatArray();
    double[] doubles = new double[floats.length];
    Arrays.setAll(doubles, i -> floats[i]);
    return doubles;
  }

  /** What the sums of all groups amount to. */
  private static final class Gradient {
    private final int features;
    private final Normalization how;
    private final double @Nullable [] scale;

    /** By group: dx is {@code upstream * (dy + input*(x - origin) + constant)}. */
    final double[] upstream;

    final double[] input;
    final double[] constant;

    final double[] gamma;
    final double[] beta;
    final double[] referenceMean;
    final double[] referenceVariance;

    Gradient(long features, Normalization how, double @Nullable [] scale) {
      this.features = Math.toIntExact(features);
      this.how = how;
      this.scale = scale;
      int groups = Math.toIntExact(features * how.groups());
      upstream = new double[groups];
      input = new double[groups];
      constant = new double[groups];
      gamma = new double[this.features];
      beta = new double[this.features];
      referenceMean = new double[this.features];
      referenceVariance = new double[this.features];
    }

    /**
     * Adds a group's part.
     *
     * @param a sum of dy
     * @param around sum of {@code dy*(x - m)}
     */
    void add(int group, Mixture mixture, double a, double around, double origin) {
      int feature = group % features;
      double b = around / mixture.deviation();
      Slopes slopes = how.slopes(
          mixture,
          scale == null ? 1 : scale[feature],
          how.elementsPerGroup(group / features),
          a,
          b);
      upstream[group] = slopes.upstream();
      if (slopes.upstream() != 0) {
        input[group] = slopes.input() / slopes.upstream();
        constant[group] =
            slopes.constant() / slopes.upstream() - input[group] * (mixture.mean() - origin);
      } else {
        constant[group] = slopes.input() + slopes.constant(); // 0, or NaN that must show
      }
      gamma[feature] += b;
      beta[feature] += a;
      referenceMean[feature] += slopes.referenceMean();
      referenceVariance[feature] += slopes.referenceVariance();
    }
  }

  @Override
  public NDArray referenceGradient(
      NDArray r,
      Geometry geometry,
      Moments<NDArray> statistics,
      Moments<NDArray> gradient,
      long elements) {
    EngineMemory direct = memory(r);
    if (direct != null) {
      return direct.referenceGradient(r, geometry, statistics, gradient, elements);
    }
    Layout layout = new Layout(geometry, Scope.BATCH);
    double[] means = statistics.mean().toDoubleArray();
    double[] slopes = gradient.variance().toDoubleArray();
    double[] constants = gradient.mean().toDoubleArray();
    try (Workspace work = Workspace.ofConstants(r)) {
      double[] deviations = statistics.variance().toDoubleArray();
      Arrays.setAll(deviations, i -> Math.sqrt(deviations[i]));
      double[] distances = deviations.clone();
      Arrays.setAll(distances, i -> Centered.NEAR * deviations[i]);
      Centered centered = batch(work, layout, r).around(means, deviations, distances);
      for (int i = 0; i < slopes.length; i++) {
        slopes[i] *= 2.0 / elements;
        constants[i] = constants[i] / elements - slopes[i] * (means[i] - centered.origin(i));
      }
      NDArray line = work.cast(centered.line(slopes, constants), r.getDataType());
      return work.result(line.reshape(r.getShape()));
    }
  }

  /** In operations, in 64 bits throughout, as {@link #doubleBackward}. */
  @Override
  public GroupSums sums(
      NDArray x, NDArray upstream, Normalization how, Moments<NDArray> reference) {
    EngineMemory direct = memory(x);
    if (direct != null) {
      return direct.sums(x, upstream, how, reference);
    }
    Layout layout = new Layout(how.geometry(), how.scope());
    try (Workspace work = Workspace.ofConstants(x)) {
      Moments<NDArray> given = enter(work, layout, reference, true);
      LiveStatistics live =
          how.weight() == 0 ? null : LiveStatistics.of(work, layout, batch(work, layout, x), true);
      Mixture[] mixed = mix(how, given, live);
      Mixture[] groups = new Mixture[Math.toIntExact(layout.groups() * layout.features())];
      Arrays.setAll(groups, i -> mixed[i % mixed.length]);
      NDArray dy = work.wide(layout.view(work.enter(upstream, x.getShape())));
      NDArray xh = work.wide(layout.view(work.enter(x, x.getShape())))
          .sub(spread(work, layout, groups, Mixture::mean))
          .div(spread(work, layout, groups, Mixture::deviation));
      return new GroupSums(
          layout.sum(work, dy).toDoubleArray(), layout.sum(work, dy.mul(xh)).toDoubleArray());
    }
  }

  /** In operations, in 64 bits throughout, and part of no graph. */
  @Override
  public NDArray write(
      NDArray x,
      @Nullable NDArray upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable NDArray output) {
    EngineMemory direct = memory(x);
    if (direct != null) {
      return direct.write(x, upstream, geometry, scope, lines);
    }
    Layout layout = new Layout(geometry, scope);
    try (Workspace work = Workspace.ofConstants(x)) {
      NDArray line = spread(work, layout, lines.offset());
      double[] ofX = upstream == null ? lines.factor() : lines.slope();
      if (ofX != null) { // else x has no part in it: 0 * NaN is NaN
        line = work.wide(layout.view(work.enter(x, x.getShape())))
            .sub(spread(work, layout, lines.center()))
            .mul(spread(work, layout, ofX))
            .add(line);
      }
      if (upstream != null) {
        line = work.wide(layout.view(work.enter(upstream, x.getShape())))
            .mul(spread(work, layout, lines.factor()))
            .add(line);
      }
      return work.result(work.cast(line, x.getDataType()).reshape(x.getShape()));
    }
  }

  @Override
  public void close() {
    if (memory != null) {
      memory.close();
    }
    manager.close();
  }
}
