package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;

import dev.vbn.GradientSums;
import dev.vbn.Gradients;
import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A random program: it makes tensors, calls layers with them, with results of earlier calls and
 * with what it has overwritten, and frees them. The oracle says what each call must give, from what
 * the tensors must hold; the backend is asked for neither.
 */
final class Walk<T> implements AutoCloseable {
  /** Batches of one shape, parameters and statistics of one feature axis, that are kept at a time. */
  private static final int KEPT = 4;

  private static final int[] AXES = {1, -1, 2};
  private static final double[] EPSILONS = {0.5, 1e-3, 1e-5};
  private static final String HINT =
      "A result follows from what its arguments hold, whatever was made, overwritten and freed before.";

  /** Writes to a tensor of the backend, where that can be done. */
  interface Overwriting<T> {
    boolean overwrite(T tensor, HostTensor host);
  }

  private final Subject<T> subject;
  private final Overwriting<T> overwriting;
  private final DType dtype;
  private final int features;
  private final Samples samples;
  private final List<Family> families = new ArrayList<>();
  private final List<Held> parameters = new ArrayList<>();

  /** What is tried at a step, for messages. */
  private String step = "";

  private int steps;

  /** A tensor, and what it must hold. */
  private final class Held {
    final T tensor;

    /** What the backend said it holds: a copy, whatever becomes of the tensor. */
    @Nullable
    HostTensor read;

    HostTensor content;

    Held(T tensor, @Nullable HostTensor read, HostTensor content) {
      this.tensor = tensor;
      this.read = read;
      this.content = content;
    }

    void overwritten(HostTensor result) {
      if (read != null) {
        assertSameBits("what was read of a tensor", content, read, "Reading is copying." + step);
      }
      read = result;
      content = copy(result);
    }

    void assertStays() {
      if (read != null) {
        assertSameBits("what was read of a tensor", content, read, "Reading is copying." + step);
      }
      assertSameBits(
          "a tensor that nothing has written to", content, subject.host(tensor), HINT + step);
    }
  }

  /** Reference statistics, and the batch that they are of. */
  private final class Known {
    final ReferenceStatistics<T> statistics;
    final HostTensor batch;
    final @Nullable Padding padding;

    Known(ReferenceStatistics<T> statistics, HostTensor batch, @Nullable Padding padding) {
      this.statistics = statistics;
      this.batch = batch;
      this.padding = padding;
    }
  }

  /** Batches that share a feature axis, and a layer that is kept for some calls. */
  private final class Family {
    final VbnConfig config;
    final List<List<Held>> batches = new ArrayList<>();
    final List<Known> statistics = new ArrayList<>();
    VirtualBatchNorm<T> layer;

    @Nullable
    Held gamma;

    @Nullable
    Held beta;

    Family(int axis) {
      config = VbnConfig.of(features).withFeatureAxis(axis);
      layer = VirtualBatchNorm.of(subject.backend, config);
    }

    /** A layer anew, with other parameters or with the same. */
    void renew() {
      gamma = samples.below(5) == 0 ? null : any(parameters);
      beta = samples.below(5) == 0 ? null : any(parameters);
      VbnConfig other = config
          .withVariant(any(List.of(Variant.values())))
          .withEpsilon(EPSILONS[samples.below(wide() ? 3 : 2)])
          .withReferenceGradient(
              samples.below(2) == 0 ? ReferenceGradient.ATTACHED : ReferenceGradient.DETACHED);
      layer = VirtualBatchNorm.of(subject.backend, other);
      layer = gamma == null ? layer : layer.withGamma(gamma.tensor);
      layer = beta == null ? layer : layer.withBeta(beta.tensor);
    }
  }

  /** A walk with batches of that many features. */
  Walk(Subject<T> subject, Overwriting<T> overwriting, DType dtype, int features, long stream) {
    this.subject = subject;
    this.overwriting = overwriting;
    this.dtype = dtype;
    this.features = features;
    samples = new Samples(stream);
    for (int i = 0; i < KEPT; i++) {
      parameters.add(made(samples.normal(1, 0.3, features).to(dtype.parameterType())));
    }
    for (int i = 0; i < AXES.length; i++) {
      Family family = new Family(AXES[i]);
      families.add(family);
      for (long[] shape : shapes(AXES[i])) {
        family.batches.add(new ArrayList<>(List.of(made(drawn(shape)), made(drawn(shape)))));
      }
      Held first = family.batches.get(0).get(0);
      family.statistics.add(
          new Known(family.layer.referenceStatistics(first.tensor), copy(first.content), null));
    }
  }

  private long[][] shapes(int axis) {
    return switch (axis) {
      // The last has more than 2^12 elements: what is long may be kept elsewhere.
      case 1 ->
        new long[][] {{7, features}, {4, features, 5}, {2, features, 9}, {2, features, 701}};
      case 2 -> new long[][] {{3, 2, features, 4}, {2, 1, features, 6}};
      default -> new long[][] {{5, 4, features}, {1, 9, features}};
    };
  }

  /** Whether the type can hold the slopes that next to no variance gives. */
  private boolean wide() {
    return dtype.precision() >= 24;
  }

  private HostTensor drawn(long... shape) {
    return samples.normal(samples.below(3), 1 + samples.below(2), shape).to(dtype);
  }

  /** A tensor of a host tensor, which is overwritten. */
  private Held made(HostTensor host) {
    HostTensor content = copy(host);
    DType type = content.shape().length == 1 ? dtype.parameterType() : dtype;
    T tensor = subject.backend.fromHost(host, type);
    if (host.dtype() == DType.FLOAT64) {
      Arrays.fill(host.doubles(), Double.NaN);
    } else {
      Arrays.fill(host.floats(), Float.NaN);
    }
    return new Held(tensor, null, content);
  }

  private static HostTensor copy(HostTensor host) {
    return host.to(host.dtype());
  }

  private <V> V any(List<V> list) {
    return list.get(samples.below(list.size()));
  }

  /**
   * Takes that many steps, at times on other threads; after them, all that is held must be as it
   * was.
   */
  void run(int count) {
    for (int i = 0; i < count; i++) {
      switch (samples.below(16)) {
        case 0 -> CallingThread.WITHOUT_CLASS_LOADER.run(this::step);
        case 1 -> CallingThread.VIRTUAL.run(this::step);
        default -> step();
      }
    }
    families.forEach(
        family -> family.batches.forEach(batches -> batches.forEach(Held::assertStays)));
    parameters.forEach(Held::assertStays);
  }

  private void step() {
    steps++;
    Family family = any(families);
    if (samples.below(4) == 0) {
      family.renew();
    }
    int one = samples.below(family.batches.size());
    int other = samples.below(family.batches.size());
    // The last shape less often: it may be long.
    List<Held> batches = family.batches.get(Math.min(one, other));
    Held x = any(batches);
    Held dy = any(batches);
    Known known = any(family.statistics);
    Padding padding = padding(family, x);
    Case c = new Case(
            family.layer.config(),
            x.content,
            known.batch,
            family.gamma == null ? null : family.gamma.content,
            family.beta == null ? null : family.beta.content,
            dy.content,
            known.batch)
        .masked(padding, known.padding);
    VirtualBatchNorm<T> layer =
        padding == null ? family.layer : family.layer.withMask(padding.mask());
    int choice = samples.below(16);
    step = " Step " + steps + " of a walk in " + dtype + ", " + c.describe();
    if (samples.below(2) == 0) {
      another(layer, x, dy, known.statistics);
    }
    switch (choice) {
      case 0 -> keep(batches, made(drawn(x.content.shape())));
      case 1 -> keep(batches, made(withOneOther(x.content)));
      case 2 -> keep(parameters, made(samples.normal(1, 1, features).to(dtype.parameterType())));
      case 3 -> reference(family, x, dy, padding, layer);
      case 4 -> statisticsAlone(family, x, padding, layer);
      case 5 -> {
        MixedStatistics mixed = layer.mixedStatistics(x.tensor, known.statistics);
        check(c, Quantity.LIVE_MEAN, mixed.mean());
        check(c, Quantity.LIVE_VARIANCE, mixed.variance());
      }
      case 6, 7, 8 -> forward(c, family, layer, batches, x, known);
      case 9, 10, 11 -> backward(c, family, layer, batches, x, dy, known);
      case 12 -> overwrite(any(parameters), samples.normal(1, 1, features));
      case 13 -> {
        statisticsAlone(family, x, padding, layer);
        overwrite(x, samples.below(2) == 0 ? drawn(x.content.shape()) : withOneOther(x.content));
        statisticsAlone(family, x, padding, layer);
        freeAtTimes(batches, x);
      }
      case 14 -> second(c, layer, batches, x, dy, known);
      default -> shared(c, layer, x, dy, known);
    }
    any(batches).assertStays();
    any(parameters).assertStays();
  }

  private @Nullable Padding padding(Family family, Held x) {
    if (!subject.has(Capability.MASK) || samples.below(4) > 0) {
      return null;
    }
    Padding.Kind kind = any(List.of(Padding.Kind.values()));
    return samples.padding(kind, x.content.shape(), family.config.featureAxis());
  }

  /** As training in place does. */
  private void overwrite(Held held, HostTensor host) {
    HostTensor next = host.to(held.content.dtype());
    if (overwriting.overwrite(held.tensor, next)) {
      held.overwritten(copy(next));
      held.read = null;
    }
  }

  /** The same elements but one. */
  private HostTensor withOneOther(HostTensor batch) {
    double[] values = batch.toDoubles();
    values[samples.below(values.length)] += 1;
    return HostTensor.of(values, batch.shape()).to(dtype);
  }

  private HostTensor check(Case c, Quantity quantity, HostTensor actual) {
    subject.tolerance.assertClose(
        quantity.label(),
        subject.expect(c, dtype).of(quantity),
        actual,
        quantity.roundedTo(dtype),
        quantity.hint() + " " + HINT + step);
    return actual;
  }

  private HostTensor check(Case c, Quantity quantity, T tensor) {
    return check(c, quantity, subject.host(tensor));
  }

  /** Frees arguments before the results are read, at times: results are tensors of their own. */
  @SafeVarargs
  private void freeAtTimes(List<Held> batches, Held... arguments) {
    for (Held each : arguments) {
      int place = batches.indexOf(each);
      if (place >= 0 && samples.below(4) == 0) {
        each.assertStays();
        batches.set(place, made(drawn(each.content.shape())));
        subject.backend.release(each.tensor);
      }
    }
  }

  /** As above, for statistics, if others are left. */
  private void freeAtTimes(Family family, Known known) {
    if (family.statistics.size() > 1 && samples.below(8) == 0) {
      family.statistics.remove(known);
      known.statistics.close();
    }
  }

  /** Keeps a tensor in the place of another, which is freed. */
  private void keep(List<Held> list, Held next) {
    if (list.size() < KEPT) {
      list.add(next);
      return;
    }
    int place = samples.below(list.size());
    Held old = list.get(place);
    if (families.stream().anyMatch(each -> each.gamma == old || each.beta == old)) {
      subject.backend.release(next.tensor);
      return;
    }
    old.assertStays();
    list.set(place, next);
    subject.backend.release(old.tensor);
  }

  /** Keeps a result as an argument of later calls, unless it would lead to extreme numbers. */
  private void keepResult(List<Held> list, T tensor, HostTensor result, int featureAxis) {
    if (isOrdinary(result, featureAxis)) {
      keep(list, new Held(tensor, result, copy(result)));
    } else {
      subject.backend.release(tensor);
    }
  }

  /**
   * Of moderate numbers, and not of one number again and again: long sums of the same round one way.
   */
  private boolean isOrdinary(HostTensor result, int featureAxis) {
    double[] values = result.toDoubles();
    double largest = Arrays.stream(values).map(Math::abs).max().orElse(0);
    if (largest < 1e-2 || largest > (wide() ? 100 : 8)) {
      return false;
    }
    long[] shape = result.shape();
    int run = 1;
    for (int i = shape.length - 1; i > (featureAxis < 0 ? shape.length - 1 : featureAxis); i--) {
      run *= (int) shape[i];
    }
    for (int at = 0; run > 64 && at < values.length; at += run) {
      DoubleSummaryStatistics ofRun = Arrays.stream(values, at, at + run)
          .filter(value -> value != 0) // as it is where nothing counts
          .summaryStatistics();
      double range = ofRun.getMax() - ofRun.getMin();
      if (range < 1e-2 * Math.max(ofRun.getMax(), -ofRun.getMin())) {
        return false;
      }
    }
    return true;
  }

  private void freeUnlessOrdinary(List<Held> batches, Held overwritten, Case c) {
    if (!isOrdinary(overwritten.content, c.config().featureAxis())) {
      batches.set(batches.indexOf(overwritten), made(drawn(overwritten.content.shape())));
      subject.backend.release(overwritten.tensor);
    }
  }

  private void keep(Family family, Known known) {
    if (family.statistics.size() < KEPT) {
      family.statistics.add(known);
    } else {
      family.statistics.set(samples.below(KEPT), known).statistics.close();
    }
  }

  private void reference(
      Family family, Held x, Held dy, @Nullable Padding padding, VirtualBatchNorm<T> layer) {
    Case c = new Case(
            layer.config(),
            x.content,
            x.content,
            family.gamma == null ? null : family.gamma.content,
            family.beta == null ? null : family.beta.content,
            dy.content,
            dy.content)
        .masked(padding, padding);
    List<Held> batches = batchesOf(family, x);
    try (ReferenceOutput<T> pass = layer.reference(x.tensor)) {
      HostTensor output = check(c, Quantity.REFERENCE_OUTPUT, pass.output());
      check(c, Quantity.MEAN, pass.statistics().mean());
      check(c, Quantity.VARIANCE, pass.statistics().variance());
      another(layer, x, dy, pass.statistics());
      try (Gradients<T> gradients =
          layer.referenceBackward(x.tensor, pass.statistics(), dy.tensor)) {
        freeAtTimes(batches, x, dy);
        check(c, Quantity.REFERENCE_DX, gradients.dx());
        check(c, Quantity.REFERENCE_DGAMMA, gradients.dgamma());
        check(c, Quantity.REFERENCE_DBETA, gradients.dbeta());
      }
      if (!isConstant(c)) {
        keep(family, new Known(pass.takeStatistics(), copy(c.reference()), padding));
      }
      keepResult(batches, pass.takeOutput(), output, c.config().featureAxis());
    }
  }

  private void statisticsAlone(
      Family family, Held x, @Nullable Padding padding, VirtualBatchNorm<T> layer) {
    Case c = new Case(family.config, x.content, x.content, null, null, x.content, x.content)
        .masked(padding, padding);
    ReferenceStatistics<T> statistics = layer.referenceStatistics(x.tensor);
    check(c, Quantity.LONE_MEAN, statistics.mean());
    check(c, Quantity.LONE_VARIANCE, statistics.variance());
    if (isConstant(c)) {
      statistics.close();
    } else {
      keep(family, new Known(statistics, copy(c.reference()), padding));
    }
  }

  /**
   * Whether a feature's variance is next to nothing, as with one element: what follows is
   * amplified.
   */
  private boolean isConstant(Case c) {
    double[] variances = subject.expect(c, dtype).of(Quantity.VARIANCE).expected();
    return Arrays.stream(variances).min().orElse(0) < 1e-3;
  }

  private List<Held> batchesOf(Family family, Held x) {
    return family.batches.stream()
        .filter(batches -> batches.contains(x))
        .findFirst()
        .orElseThrow();
  }

  private boolean supplies() {
    return subject.has(Capability.CALLER_SUPPLIED_OUTPUT) && samples.below(2) == 0;
  }

  private void forward(
      Case c, Family family, VirtualBatchNorm<T> layer, List<Held> batches, Held x, Known known) {
    if (!supplies()) {
      try (Output<T> live = layer.forward(x.tensor, known.statistics)) {
        freeAtTimes(batches, x);
        freeAtTimes(family, known);
        HostTensor output = check(c, Quantity.OUTPUT, live.output());
        keepResult(batches, live.takeOutput(), output, c.config().featureAxis());
      }
      return;
    }
    Held into = any(batches); // x itself, at times
    try (Output<T> live = layer.forwardInto(into.tensor, x.tensor, known.statistics)) {
      into.overwritten(check(c, Quantity.OUTPUT, live.output()));
    }
    freeUnlessOrdinary(batches, into, c);
  }

  private void backward(
      Case c,
      Family family,
      VirtualBatchNorm<T> layer,
      List<Held> batches,
      Held x,
      Held dy,
      Known known) {
    Held into = supplies() ? any(batches) : null;
    try (Gradients<T> gradients = into == null
        ? layer.backward(x.tensor, known.statistics, dy.tensor)
        : layer.backwardInto(into.tensor, x.tensor, known.statistics, dy.tensor)) {
      if (into == null) {
        freeAtTimes(batches, x, dy);
      }
      HostTensor dx = check(c, Quantity.DX, gradients.dx());
      HostTensor dgamma = check(c, Quantity.DGAMMA, gradients.dgamma());
      HostTensor dbeta = check(c, Quantity.DBETA, gradients.dbeta());
      if (into != null) {
        into.overwritten(dx);
        freeUnlessOrdinary(batches, into, c);
      }
      if (c.attached()) {
        T r = subject.backend.fromHost(copy(known.batch), dtype);
        VirtualBatchNorm<T> ofReference = family.layer.withMask(c.referenceMask());
        another(ofReference.withMask(null), any(batches), any(batches), known.statistics);
        try (Output<T> reached = ofReference.referenceGradient(r, known.statistics, gradients)) {
          subject.backend.release(r);
          check(c, Quantity.DREFERENCE, reached.output());
        }
      }
      keepResult(parameters, gradients.takeDgamma(), dgamma, 0);
      keepResult(parameters, gradients.takeDbeta(), dbeta, 0);
      if (into == null) {
        keepResult(batches, gradients.takeDx(), dx, c.config().featureAxis());
      }
    }
  }

  private void second(
      Case plain, VirtualBatchNorm<T> layer, List<Held> batches, Held x, Held dy, Known known) {
    if (!subject.has(Capability.DOUBLE_BACKWARD)) {
      return;
    }
    VirtualBatchNorm<T> detached = layer.withReferenceGradient(ReferenceGradient.DETACHED);
    try (Tensors<T> made = subject.tensors()) {
      Held v = any(batches); // x or dy itself, at times
      Case c = plain.withSecond(v.content);
      GradientUpstream<T> parameters = Subject.second(c, dtype, made);
      GradientUpstream<T> upstream =
          new GradientUpstream<>(v.tensor, parameters.dgamma(), parameters.dbeta());
      try (SecondGradients<T> gradients =
          detached.doubleBackward(x.tensor, known.statistics, dy.tensor, upstream)) {
        freeAtTimes(batches, x, dy, v);
        check(c, Quantity.SECOND_X, gradients.x());
        HostTensor ofUpstream = check(c, Quantity.SECOND_UPSTREAM, gradients.upstream());
        check(c, Quantity.SECOND_GAMMA, gradients.gamma());
        keepResult(batches, gradients.takeUpstream(), ofUpstream, c.config().featureAxis());
      }
    }
  }

  /** Any call, in between: what it leaves behind may not reach the next one. */
  private void another(
      VirtualBatchNorm<T> layer, Held x, Held dy, ReferenceStatistics<T> statistics) {
    int choice = samples.below(8);
    switch (choice) {
      case 0 -> layer.forward(x.tensor, statistics).close();
      case 1 -> layer.backward(x.tensor, statistics, dy.tensor).close();
      case 2 -> layer.reference(x.tensor).close();
      case 3 -> layer.referenceStatistics(x.tensor).close();
      case 4 -> {
        if (subject.has(Capability.DOUBLE_BACKWARD)) {
          layer
              .withReferenceGradient(ReferenceGradient.DETACHED)
              .doubleBackward(x.tensor, statistics, dy.tensor, GradientUpstream.ofDx(dy.tensor))
              .close();
        }
      }
      case 5, 6 -> {
        if (subject.has(Capability.CONDITIONAL)) {
          VirtualBatchNorm<T> pooled = layer.withVariant(Variant.POOLED);
          ReferenceMoments live = pooled.liveMoments(x.tensor);
          if (choice == 5) {
            pooled.gradientSums(x.tensor, statistics, live, dy.tensor);
          } else {
            pooled.forward(x.tensor, statistics, live).close();
          }
        }
      }
      default -> {
        VirtualBatchNorm<T> attached = layer.withReferenceGradient(ReferenceGradient.ATTACHED);
        try (ReferenceStatistics<T> own = attached.referenceStatistics(x.tensor);
            Gradients<T> gradients = attached.backward(x.tensor, own, dy.tensor)) {
          attached.referenceGradient(x.tensor, own, gradients).close();
        }
      }
    }
  }

  /** What a batch gives when its statistics are shared with no one. */
  private void shared(Case c, VirtualBatchNorm<T> layer, Held x, Held dy, Known known) {
    if (!subject.has(Capability.CONDITIONAL) || c.config().variant().scope() != Scope.BATCH) {
      return;
    }
    ReferenceMoments live = layer.liveMoments(x.tensor);
    another(layer, x, dy, known.statistics);
    GradientSums sums = layer.gradientSums(x.tensor, known.statistics, live, dy.tensor);
    another(layer, x, dy, known.statistics);
    try (Output<T> output = layer.forward(x.tensor, known.statistics, live)) {
      check(c, Quantity.OUTPUT, output.output());
    }
    another(layer, x, dy, known.statistics);
    try (Gradients<T> gradients =
        layer.backward(x.tensor, known.statistics, live, dy.tensor, sums)) {
      check(c, Quantity.DX, gradients.dx());
      check(c, Quantity.DGAMMA, gradients.dgamma());
      check(c, Quantity.DBETA, gradients.dbeta());
    }
  }

  @Override
  public void close() {
    for (Family family : families) {
      family.statistics.forEach(each -> each.statistics.close());
      family.batches.forEach(
          batches -> batches.forEach(each -> subject.backend.release(each.tensor)));
    }
    parameters.forEach(each -> subject.backend.release(each.tensor));
  }
}
