package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * The layer: normalises a batch with the statistics of a fixed reference batch, mixed with its own.
 *
 * <p>{@link #reference} normalises the reference batch by itself and yields its statistics;
 * {@link #forward} normalises live batches with them. Batches have rank 2 to 5, with the batch axis
 * first unless the {@link VbnConfig} says otherwise.
 *
 * <p>The caller closes what a call returns; closing it frees what the backend made, and nothing
 * that the caller supplied or has taken out.
 *
 * <p>Every argument is checked here, before the backend sees it: null gets a
 * {@link NullPointerException}, a wrong shape, axis or type an {@link IllegalArgumentException}, a
 * type or a capability that the backend lacks an {@link UnsupportedCapabilityException}, and use
 * after {@link #close} an {@link IllegalStateException}; each names what was given and what was
 * expected. A failure of the backend itself is a {@link BackendFailedException}.
 *
 * <p>Safe to share between threads, except for {@link #setGamma}, {@link #setBeta} and
 * {@link #close}, which must not run while another thread computes with the layer, like any
 * optimiser's step.
 *
 * @param <T> the backend's tensor type
 */
public final class VirtualBatchNorm<T> implements AutoCloseable {
  private static final double GAMMA_MEAN = 1;
  private static final double GAMMA_DEVIATION = 0.02;

  private final VbnBackend<T> backend;
  private final VbnConfig config;
  private final Parameters<T> parameters;

  /** Which elements of its batches count; null where all do. */
  private final @Nullable Mask mask;

  /** The last batch with a mask: its next pass need not look at each of the mask's values again. */
  private volatile @Nullable MaskedView last;

  private record MaskedView(long[] shape, BatchView ofBatch) {}

  private VirtualBatchNorm(
      VbnBackend<T> backend, VbnConfig config, Parameters<T> parameters, @Nullable Mask mask) {
    this.backend = backend;
    this.config = config;
    this.parameters = parameters;
    this.mask = mask;
  }

  /** A layer without gamma and beta: its output has the mixed mean 0 and deviation 1. */
  public static <T> VirtualBatchNorm<T> of(VbnBackend<T> backend, VbnConfig config) {
    requireNonNull(backend, "backend is null; expected an open backend");
    requireNonNull(config, "config is null; expected a VbnConfig");
    return new VirtualBatchNorm<>(backend, config, new Parameters<>(backend), null);
  }

  /**
   * The layer with gamma drawn from N(1, 0.02) and beta 0, which it frees when closed.
   *
   * @param dtype type of the batches
   * @param seed the same seed gives the same gamma, on every backend
   * @throws IllegalStateException also if this layer has parameters of its own
   */
  public VirtualBatchNorm<T> initialized(DType dtype, long seed) {
    parameters.requireOpen();
    parameters.requireNoneOwned();
    requireNonNull(dtype, "dtype is null; expected the type of the batches");
    backend.requireBatchType("dtype", dtype);
    DType type = dtype.parameterType();
    int features = config.features();
    Random random = new Random(seed);
    double[] values = new double[features];
    Arrays.setAll(values, i -> GAMMA_MEAN + GAMMA_DEVIATION * random.nextGaussian());
    T gamma = backend.fromHost(HostTensor.of(values, features), type);
    T beta;
    try {
      beta = backend.fromHost(HostTensor.zeros(type, features), type);
    } catch (RuntimeException | Error e) {
      backend.releaseAfter(e, gamma);
      throw e;
    }
    return new VirtualBatchNorm<>(
        backend,
        config,
        new Parameters<>(backend)
            .withGamma(Part.made(backend, "gamma", gamma), null)
            .withBeta(Part.made(backend, "beta", beta), null),
        mask);
  }

  /**
   * The layer with the caller's gamma. The tensor stays the caller's and is read at each call, so
   * that a framework may train it in place.
   *
   * <p>On a backend with {@link Capability#CONDITIONAL} it may also be of shape
   * {@code [examples, features]}, for batches of that many examples with a scale each, as in
   * conditional normalisation. In a layer of several feature axes it may also have the lengths of
   * all of them, or of the first alone, where its gradient is the sum over the others. The gradient
   * has the shape of the parameter. A layer with such a parameter has no second gradients.
   *
   * @param gamma scale, shape {@code [features]}, of type {@link DType#parameterType()} of the
   *     batches; or of a shape as above
   * @throws IllegalStateException also if this layer has parameters of its own: {@link #setGamma}
   *     replaces those
   */
  public VirtualBatchNorm<T> withGamma(T gamma) {
    ParameterForm form = requireParameter("gamma", gamma, "beta", parameters.beta());
    return new VirtualBatchNorm<>(
        backend,
        config,
        new Parameters<>(backend)
            .withGamma(Part.supplied(backend, "gamma", gamma), form)
            .withBeta(shared("beta", parameters.beta()), parameters.betaForm()),
        mask);
  }

  /**
   * The layer with the caller's beta, of a shape that {@link #withGamma} takes. The tensor stays
   * the caller's and is read at each call, so that a framework may train it in place.
   *
   * @param beta offset, shape {@code [features]}, of type {@link DType#parameterType()} of the
   *     batches; or of a shape as above
   * @throws IllegalStateException also if this layer has parameters of its own: {@link #setBeta}
   *     replaces those
   */
  public VirtualBatchNorm<T> withBeta(T beta) {
    ParameterForm form = requireParameter("beta", beta, "gamma", parameters.gamma());
    return new VirtualBatchNorm<>(
        backend,
        config,
        new Parameters<>(backend)
            .withGamma(shared("gamma", parameters.gamma()), parameters.gammaForm())
            .withBeta(Part.supplied(backend, "beta", beta), form),
        mask);
  }

  private @Nullable Part<T> shared(String name, @Nullable T parameter) {
    return parameter == null ? null : Part.supplied(backend, name, parameter);
  }

  /**
   * A layer of another variant that shares all else with this one: setting or closing the
   * parameters of one sets or closes those of both. For instance one trained as
   * {@link Variant#LIVE_BATCH} and served as {@link Variant#REFERENCE_ONLY}, whose outputs do not
   * depend on what else is in the batch.
   */
  public VirtualBatchNorm<T> withVariant(Variant variant) {
    parameters.requireOpen();
    return new VirtualBatchNorm<>(backend, config.withVariant(variant), parameters, mask);
  }

  /**
   * The layer for padded batches: in every call on it, the mask says what counts in the batch, live
   * or reference. What does not count has no effect, and output and gradients are 0 there. All else
   * is shared with this layer.
   *
   * <pre>{@code
   * layer.withMask(Mask.lengths(5, 3, 8)).forward(x, statistics)
   * }</pre>
   *
   * <p>The mask is checked when a batch is given: one that does not fit the batch, or leaves
   * nothing of it, causes an {@link IllegalArgumentException}.
   *
   * @param mask null if everything counts, as in a layer on which this was not called
   * @throws UnsupportedCapabilityException if the backend lacks {@link Capability#MASK}
   */
  public VirtualBatchNorm<T> withMask(@Nullable Mask mask) {
    parameters.requireOpen();
    if (mask != null) {
      backend.require(Capability.MASK, "a mask was given");
    }
    return new VirtualBatchNorm<>(backend, config, parameters, mask);
  }

  /**
   * A layer of another reference gradient that shares all else with this one, as {@link
   * #withVariant} does.
   */
  public VirtualBatchNorm<T> withReferenceGradient(ReferenceGradient referenceGradient) {
    parameters.requireOpen();
    return new VirtualBatchNorm<>(
        backend, config.withReferenceGradient(referenceGradient), parameters, mask);
  }

  /**
   * Gives the layer this gamma, on any backend, in place of any that it has. The layer frees the
   * tensor that it makes; a gamma that was the caller's stays as it is.
   *
   * @param gamma of a shape that {@link #withGamma} takes; rounded to the type of the layer's
   *     parameters, or kept in its own type where the layer has none
   */
  public void setGamma(HostTensor gamma) {
    ParameterForm form = requireForm("gamma", gamma);
    parameters.replaceGamma(ofHost(gamma, parameters.gamma(), parameters.beta()), form);
  }

  /**
   * Gives the layer this beta, on any backend, in place of any that it has. The layer frees the
   * tensor that it makes; a beta that was the caller's stays as it is.
   *
   * @param beta of a shape that {@link #withGamma} takes; rounded to the type of the layer's
   *     parameters, or kept in its own type where the layer has none
   */
  public void setBeta(HostTensor beta) {
    ParameterForm form = requireForm("beta", beta);
    parameters.replaceBeta(ofHost(beta, parameters.beta(), parameters.gamma()), form);
  }

  private @Nullable ParameterForm requireForm(String name, HostTensor host) {
    parameters.requireOpen();
    requireNonNull(host, name + " is null; expected shape [" + config.features() + "]");
    return form(name, host.shape());
  }

  private @Nullable ParameterForm form(String name, long[] shape) {
    ParameterForm form = ParameterForm.of(name, shape, config);
    if (form != null) {
      backend.require(
          Capability.CONDITIONAL, name + " of shape " + Arrays.toString(shape) + " was given");
    }
    return form;
  }

  private T ofHost(HostTensor host, @Nullable T replaced, @Nullable T other) {
    T model = replaced != null ? replaced : other;
    return backend.fromHost(host, model == null ? host.dtype() : backend.dtype(model));
  }

  /**
   * The reference pass: normalises the reference batch by its own statistics, as batch
   * normalization in training does, and yields them.
   */
  public ReferenceOutput<T> reference(T x) {
    BatchView view = requireBatch("reference batch", x);
    if (!parameters.arePlain()) {
      return groupedReference(x, view);
    }
    Normalized<T> normalized =
        backend.reference(x, referencePass(view), parameters.gamma(), parameters.beta());
    return new ReferenceOutput<>(
        Part.made(backend, "output", normalized.output()),
        statisticsOf(view, normalized.statistics()));
  }

  private ReferenceOutput<T> groupedReference(T x, BatchView view) {
    requireFits("reference batch", x);
    ReferenceStatistics<T> statistics =
        statisticsOf(view, backend.statistics(x, view.geometry(), Scope.BATCH));
    try {
      T output = grouped(view, referencePass(view), statistics, null).forward(x, null);
      return new ReferenceOutput<>(Part.made(backend, "output", output), statistics);
    } catch (RuntimeException | Error e) {
      try {
        statistics.close();
      } catch (RuntimeException | Error second) {
        e.addSuppressed(second);
      }
      throw e;
    }
  }

  private GroupedPass<T> grouped(
      BatchView view,
      Normalization how,
      ReferenceStatistics<T> reference,
      @Nullable ReferenceMoments live) {
    return new GroupedPass<>(backend, view, how, parameters, reference.moments(), live);
  }

  /** Whether the kernels do all of such a pass. */
  private boolean isPlain(BatchView view, Normalization how) {
    return parameters.arePlain() && (how.scope() != Scope.EXAMPLE || view.isBatchFirst());
  }

  /** The statistics of a reference batch, without normalising it. */
  public ReferenceStatistics<T> referenceStatistics(T x) {
    BatchView view = requireBatch("reference batch", x);
    return statisticsOf(view, backend.statistics(x, view.geometry(), Scope.BATCH));
  }

  private ReferenceStatistics<T> statisticsOf(BatchView view, Moments<T> moments) {
    return ReferenceStatistics.ofMade(
        backend, moments, config.features(), view.examples(), view.geometry().countedElements());
  }

  /**
   * The statistics of a reference batch that comes in chunks: however it is split, the result is
   * the same up to rounding. One chunk is held at a time. {@link ExactMoments} gives the same bits.
   *
   * @throws IllegalArgumentException also if there is no chunk
   */
  public ReferenceStatistics<T> referenceStatistics(Iterable<? extends T> chunks) {
    parameters.requireOpen();
    requireNonNull(chunks, "chunks is null; expected chunks of the reference batch");
    Iterator<? extends T> iterator = chunks.iterator();
    if (!iterator.hasNext()) {
      throw new IllegalArgumentException("reference batch has no chunks; expected at least one");
    }
    ReferenceMoments total = ReferenceMoments.empty(config.features());
    while (iterator.hasNext()) {
      try (ReferenceStatistics<T> chunk = referenceStatistics(iterator.next())) {
        total = total.merge(chunk.moments());
      }
    }
    return ReferenceStatistics.of(backend, total);
  }

  /**
   * Normalises a live batch.
   *
   * @param x the live batch; its number of examples and positions may differ from the reference's
   * @param reference statistics of the reference batch
   */
  public Output<T> forward(T x, ReferenceStatistics<T> reference) {
    T output = forwardChecked(x, requireBatch("x", x), reference, null);
    return new Output<>(Part.made(backend, "output", output));
  }

  /**
   * Normalises a live batch into a given tensor.
   *
   * @param output takes the output: of the shape and type of {@code x}, or {@code x} itself; it
   *     stays the caller's
   * @param x as in {@link #forward}
   * @param reference as in {@link #forward}
   * @throws IllegalArgumentException also if {@code output} overlaps another argument without being
   *     {@code x}
   * @throws UnsupportedCapabilityException also if the backend lacks {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   */
  public Output<T> forwardInto(T output, T x, ReferenceStatistics<T> reference) {
    BatchView view = requireBatch("x", x);
    requireOutput("output", output, x, reference);
    requireApart("output", output, "beta", parameters.beta());
    forwardChecked(x, view, reference, output);
    return new Output<>(Part.supplied(backend, "output", output));
  }

  private T forwardChecked(
      T x, BatchView view, ReferenceStatistics<T> reference, @Nullable T output) {
    Normalization how = live(view, reference);
    if (!isPlain(view, how)) {
      requireFits("x", x);
      return grouped(view, how, reference, null).forward(x, output);
    }
    return backend.forward(
        x, how, reference.tensors(), parameters.gamma(), parameters.beta(), output);
  }

  /**
   * Mean and variance of a part of a live batch, to be merged with those of the other workers that
   * share it: the live statistics of
   * {@link #forward(Object, ReferenceStatistics, ReferenceMoments)}.
   *
   * <pre>{@code
   * ReferenceMoments live = allReduce(layer.liveMoments(x), ReferenceMoments::merge);
   * Output<T> y = layer.forward(x, statistics, live);
   * // and in the backward pass
   * GradientSums sums =
   *     allReduce(layer.gradientSums(x, statistics, live, dy), GradientSums::merge);
   * Gradients<T> gradients = layer.backward(x, statistics, live, dy, sums);
   * }</pre>
   *
   * @param x this worker's part of the live batch
   */
  public ReferenceMoments liveMoments(T x) {
    try (ReferenceStatistics<T> part = referenceStatistics(x)) {
      return part.moments();
    }
  }

  /**
   * Normalises this worker's part of a live batch, as if the whole batch were here.
   *
   * @param x this worker's part of the live batch
   * @param reference statistics of the reference batch
   * @param live the {@link #liveMoments} of all parts, merged
   * @throws IllegalStateException also if the variant shares no live statistics: those of
   *     {@link Variant#PER_EXAMPLE} are the worker's own, and {@link Variant#REFERENCE_ONLY} has
   *     none
   * @throws UnsupportedCapabilityException also if the backend lacks {@link Capability#CONDITIONAL}
   */
  public Output<T> forward(T x, ReferenceStatistics<T> reference, ReferenceMoments live) {
    BatchView view = requireBatch("x", x);
    T output = shared(x, view, reference, live).forward(x, null);
    return new Output<>(Part.made(backend, "output", output));
  }

  /**
   * The sums that gradients are made of, over this worker's part of a live batch; to be merged with
   * those of the other workers.
   *
   * @param x as in {@link #forward(Object, ReferenceStatistics, ReferenceMoments)}
   * @param reference likewise
   * @param live likewise
   * @param upstream gradient with respect to the output, of the shape and type of {@code x}
   */
  public GradientSums gradientSums(
      T x, ReferenceStatistics<T> reference, ReferenceMoments live, T upstream) {
    BatchView view = requireBatch("x", x);
    requireLike("upstream", upstream, x);
    return shared(x, view, reference, live).sums(x, upstream);
  }

  /**
   * Gradients of {@link #forward(Object, ReferenceStatistics, ReferenceMoments)}: dx is as for the
   * whole live batch; those of gamma, beta and the reference statistics are this part's, and those
   * of all parts add up to those of the whole.
   *
   * @param x as there
   * @param reference likewise
   * @param live likewise
   * @param upstream gradient with respect to the output, of the shape and type of {@code x}
   * @param sums the {@link #gradientSums} of all parts, merged
   */
  public Gradients<T> backward(
      T x, ReferenceStatistics<T> reference, ReferenceMoments live, T upstream, GradientSums sums) {
    BatchView view = requireBatch("x", x);
    requireLike("upstream", upstream, x);
    requireNonNull(sums, "sums is null; expected the sums of all parts");
    if (sums.features() != config.features()) {
      throw new IllegalArgumentException(
          "sums are of " + sums.features() + " features; expected " + config.features());
    }
    return shared(x, view, reference, live).backward(x, upstream, sums, null);
  }

  private GroupedPass<T> shared(
      T x, BatchView view, ReferenceStatistics<T> reference, ReferenceMoments live) {
    requireStatistics(reference);
    requireFits("x", x);
    requireNonNull(live, "live is null; expected the moments of all parts of the live batch");
    Variant variant = config.variant();
    if (variant.scope() != Scope.BATCH) {
      throw new IllegalStateException("live statistics of several parts were given to a layer of"
          + " variant " + variant.label() + "; expected one with statistics of the whole batch");
    }
    long elements = view.geometry().countedElements();
    if (live.features() != config.features()
        || live.elements() < elements
        || live.examples() < view.examples()) {
      throw new IllegalArgumentException("live moments are of " + live.features() + " features, "
          + live.examples() + " examples and " + live.elements() + " elements; expected "
          + config.features() + " features, and at least the part here, " + view.examples()
          + " examples and " + elements + " elements");
    }
    double weight = reference.weightOfLive(variant, live.examples(), live.elements());
    return grouped(view, live(view, weight), reference, live);
  }

  /**
   * The mixed statistics that {@link #forward} normalises a live batch with, computed by a separate
   * pass: a forward keeps none.
   *
   * @param x as in {@link #forward}
   * @param reference as in {@link #forward}
   */
  public MixedStatistics mixedStatistics(T x, ReferenceStatistics<T> reference) {
    BatchView view = requireBatch("x", x);
    Normalization how = live(view, reference);
    ReferenceMoments moments = reference.moments();
    if (how.scope() == Scope.NONE) {
      return new MixedStatistics(
          moments.mean(), moments.variance(), new long[] {config.features()});
    }
    if (how.scope() == Scope.EXAMPLE && !view.isBatchFirst()) {
      return grouped(view, how, reference, null).mixedStatistics(x);
    }
    Moments<T> live = backend.statistics(x, view.geometry(), how.scope());
    try {
      HostTensor liveMean = backend.toHost(live.mean());
      return mix(how, moments, liveMean, backend.toHost(live.variance()));
    } finally {
      backend.releaseBoth(live);
    }
  }

  private static MixedStatistics mix(
      Normalization how, ReferenceMoments reference, HostTensor liveMean, HostTensor liveVariance) {
    double[] referenceMean = reference.mean();
    double[] referenceVariance = reference.variance();
    double[] mean = new double[liveMean.size()];
    double[] variance = new double[mean.length];
    for (int i = 0; i < mean.length; i++) {
      int feature = i % referenceMean.length;
      Mixture mixture = how.mix(
          referenceMean[feature], referenceVariance[feature], liveMean.get(i), liveVariance.get(i));
      mean[i] = mixture.mean();
      variance[i] = mixture.variance();
    }
    return new MixedStatistics(mean, variance, liveMean.shape());
  }

  /**
   * Gradients of {@link #forward}.
   *
   * @param x the live batch
   * @param reference the statistics it was normalised with
   * @param upstream gradient with respect to the output, of the shape and type of {@code x}
   */
  public Gradients<T> backward(T x, ReferenceStatistics<T> reference, T upstream) {
    BatchView view = requireBatch("x", x);
    requireLike("upstream", upstream, x);
    return backwardChecked(x, view, live(view, reference), reference, upstream, null);
  }

  /**
   * Gradients of {@link #forward}, with that of the input written into a given tensor.
   *
   * @param dx takes the gradient with respect to {@code x}: of its shape and type, or
   *     {@code upstream} or {@code x} itself; it stays the caller's
   * @param x as in {@link #backward}
   * @param reference as in {@link #backward}
   * @param upstream as in {@link #backward}
   * @throws IllegalArgumentException also if {@code dx} overlaps another argument without being
   *     {@code x} or {@code upstream}
   * @throws UnsupportedCapabilityException also if the backend lacks
   *     {@link Capability#CALLER_SUPPLIED_OUTPUT}
   */
  public Gradients<T> backwardInto(T dx, T x, ReferenceStatistics<T> reference, T upstream) {
    BatchView view = requireBatch("x", x);
    requireLike("upstream", upstream, x);
    requireOutput("dx", dx, x, reference);
    backend.requireApart("dx", dx, "upstream", upstream);
    return backwardChecked(x, view, live(view, reference), reference, upstream, dx);
  }

  private Gradients<T> backwardChecked(
      T x,
      BatchView view,
      Normalization how,
      ReferenceStatistics<T> reference,
      T upstream,
      @Nullable T dx) {
    if (!isPlain(view, how) || how.referenceGradient() == ReferenceGradient.ALL_DETACHED) {
      requireFits("batch", x);
      return grouped(view, how, reference, null).backward(x, upstream, null, dx);
    }
    Differentiated<T> result =
        backend.backward(x, upstream, how, reference.tensors(), parameters.gamma(), dx);
    Part<T> input =
        dx == null ? Part.made(backend, "dx", result.dx()) : Part.supplied(backend, "dx", dx);
    return new Gradients<>(backend, input, result.dgamma(), result.dbeta(), result.dreference());
  }

  /**
   * Gradients of {@link #backward}, as a penalty on the size of a gradient needs them: those of
   * {@code sum(dx*v) + sum(dgamma*vgamma) + sum(dbeta*vbeta)} with respect to x, upstream and gamma.
   * That with respect to beta is 0.
   *
   * @param x as in {@link #backward}
   * @param reference as in {@link #backward}
   * @param upstream as in {@link #backward}
   * @param second upstream gradients of what {@link #backward} gave: v of the shape and type of {@code
   *     x}; vgamma and vbeta, where given, of shape {@code [features]} and type {@link
   *     DType#parameterType()}
   * @throws IllegalStateException also if this layer is not {@link ReferenceGradient#DETACHED}: {@link
   *     #withReferenceGradient} gives one that is
   * @throws UnsupportedCapabilityException also if the backend lacks {@link
   *     Capability#DOUBLE_BACKWARD}
   */
  public SecondGradients<T> doubleBackward(
      T x, ReferenceStatistics<T> reference, T upstream, GradientUpstream<T> second) {
    BatchView view = requireBatch("x", x);
    requireLike("upstream", upstream, x);
    requireNonNull(second, "second is null; expected the upstream gradients of the gradients");
    requireLike("upstream gradient of dx", second.dx(), x);
    requireParameterGradient("upstream gradient of dgamma", second.dgamma(), x);
    requireParameterGradient("upstream gradient of dbeta", second.dbeta(), x);
    Normalization how = live(view, reference);
    if (!isPlain(view, how)) {
      throw new IllegalStateException("second gradients were asked of a layer with parameters of"
          + " another shape than [" + config.features() + "], or per example with batch axis "
          + config.batchAxis() + "; expected one number for each feature and the batch in front");
    }
    if (how.referenceGradient() != ReferenceGradient.DETACHED) {
      throw new IllegalStateException("second gradients were asked of a layer of "
          + config.referenceGradient() + " statistics; expected DETACHED");
    }
    backend.require(Capability.DOUBLE_BACKWARD, "a second gradient was asked for");
    return new SecondGradients<>(
        backend,
        backend.doubleBackward(x, upstream, second, how, reference.tensors(), parameters.gamma()));
  }

  private void requireParameterGradient(String name, @Nullable T gradient, T x) {
    if (gradient != null) {
      requireParameterShape(name, backend.shape(gradient));
      requireParameterType("x", backend.dtype(x), name, gradient);
    }
  }

  /**
   * Gradients of the output of {@link #reference}: with the statistics as constants when detached,
   * the backward of batch normalization when attached.
   *
   * @param x the reference batch
   * @param reference its statistics
   * @param upstream gradient with respect to the output, of the shape and type of {@code x}
   */
  public Gradients<T> referenceBackward(T x, ReferenceStatistics<T> reference, T upstream) {
    BatchView view = requireBatch("reference batch", x);
    requireStatistics(reference);
    requirePart(view, reference, config.referenceGradient() == ReferenceGradient.ATTACHED);
    requireLike("upstream", upstream, x);
    Normalization how = config.referenceGradient() == ReferenceGradient.ATTACHED
        ? referencePass(view)
        : new Normalization(
            view.geometry(), Scope.NONE, 0, config.epsilon(), ReferenceGradient.DETACHED);
    return backwardChecked(x, view, how, reference, upstream, null);
  }

  /**
   * Gradient that a live batch sends into the reference batch.
   *
   * @param x the reference batch, or a chunk of it
   * @param reference statistics of the whole reference batch
   * @param gradients what {@link #backward} gave for the live batch
   * @return gradient with respect to {@code x}, of its shape and type
   * @throws IllegalStateException also if this layer is {@link ReferenceGradient#DETACHED}
   */
  public Output<T> referenceGradient(
      T x, ReferenceStatistics<T> reference, Gradients<T> gradients) {
    BatchView view = requireBatch("reference batch", x);
    requireStatistics(reference);
    requireNonNull(gradients, "gradients is null; expected the gradients of a live batch");
    Moments<T> gradient = gradients.dreference();
    if (config.referenceGradient() != ReferenceGradient.ATTACHED || gradient == null) {
      throw new IllegalStateException(
          "a reference gradient was asked of detached statistics; expected ATTACHED");
    }
    requireParameterShape("reference gradient", backend.shape(gradient.mean()));
    requirePart(view, reference, false);
    T dr = backend.referenceGradient(
        x, view.geometry(), reference.tensors(), gradient, reference.elements());
    return new Output<>(Part.made(backend, "reference gradient", dr));
  }

  /**
   * This layer with its statistics as a line per feature, to be folded into a convolution or linear
   * layer in front of it.
   *
   * @param reference statistics of the reference batch
   * @throws IllegalStateException also if this layer is not {@link Variant#REFERENCE_ONLY}: {@link
   *     #withVariant} gives one that is
   */
  public Fold fold(ReferenceStatistics<T> reference) {
    parameters.requireOpen();
    requireStatistics(reference);
    if (config.variant() != Variant.REFERENCE_ONLY) {
      throw new IllegalStateException("a layer of variant " + config.variant().label()
          + " was to be folded; expected reference-only, where no live statistics are mixed in");
    }
    ReferenceMoments moments = reference.moments();
    double[] scale = perFeature("gamma", parameters.gamma(), parameters.gammaForm(), 1);
    double[] variance = moments.variance();
    Arrays.setAll(scale, i -> scale[i] / Math.sqrt(variance[i] + config.epsilon()));
    return new Fold(
        scale, moments.mean(), perFeature("beta", parameters.beta(), parameters.betaForm(), 0));
  }

  private double[] perFeature(
      String name, @Nullable T parameter, @Nullable ParameterForm form, double absent) {
    double[] values = new double[config.features()];
    if (parameter == null) {
      Arrays.fill(values, absent);
      return values;
    }
    if (form != null && form.byExample()) {
      throw new IllegalStateException("a layer was to be folded whose " + name + " has shape "
          + Arrays.toString(form.shape()) + "; expected one number for each feature");
    }
    double[] given = backend.toHost(parameter).toDoubles();
    Arrays.setAll(values, i -> given[form == null ? i : form.index(0, i, config.features())]);
    return values;
  }

  /** The configuration. */
  public VbnConfig config() {
    return config;
  }

  /** The backend that computes. */
  public VbnBackend<T> backend() {
    return backend;
  }

  /**
   * The scale, null if the layer does not scale. It still belongs to the layer, or to the caller
   * who gave it.
   *
   * @throws IllegalStateException if closed
   */
  public @Nullable T gamma() {
    return parameters.gamma();
  }

  /**
   * The offset, null if the layer does not center. It still belongs to the layer, or to the caller
   * who gave it.
   *
   * @throws IllegalStateException if closed
   */
  public @Nullable T beta() {
    return parameters.beta();
  }

  /** Frees the parameters, unless they are the caller's; harmless when repeated. */
  @Override
  public void close() {
    parameters.close();
  }

  /** Features, epsilon and variant. */
  @Override
  public String toString() {
    return "VirtualBatchNorm(features=" + config.features() + ", epsilon=" + config.epsilon()
        + ", variant=" + config.variant().label() + (mask == null ? "" : ", " + mask) + ")";
  }

  private Normalization referencePass(BatchView view) {
    return new Normalization(
        view.geometry(), Scope.BATCH, 1, config.epsilon(), config.referenceGradient());
  }

  private Normalization live(BatchView view, ReferenceStatistics<T> reference) {
    requireStatistics(reference);
    return live(
        view,
        reference.weightOfLive(
            config.variant(), view.examples(), view.geometry().countedElements()));
  }

  /** Where nothing is live, constants are the detached reference's alone. */
  private Normalization live(BatchView view, double weight) {
    Scope scope = config.variant().scope();
    ReferenceGradient gradient = config.referenceGradient();
    return new Normalization(
        view.geometry(),
        scope,
        weight,
        config.epsilon(),
        scope == Scope.NONE && gradient == ReferenceGradient.ALL_DETACHED
            ? ReferenceGradient.DETACHED
            : gradient);
  }

  private @Nullable ParameterForm requireParameter(
      String name, T parameter, String otherName, @Nullable T other) {
    parameters.requireNoneOwned();
    requireNonNull(parameter, name + " is null; expected shape [" + config.features() + "]");
    ParameterForm form = form(name, backend.shape(parameter));
    DType dtype = backend.dtype(parameter);
    if (dtype != dtype.parameterType()) {
      throw new IllegalArgumentException(name + " is " + dtype + "; expected FLOAT32 or FLOAT64");
    }
    if (other != null && backend.dtype(other) != dtype) {
      throw new IllegalArgumentException(name + " is " + dtype + " and " + otherName + " "
          + backend.dtype(other) + "; expected one type");
    }
    return form;
  }

  private void requireParameterShape(String name, long[] shape) {
    if (shape.length != 1 || shape[0] != config.features()) {
      throw new IllegalArgumentException(
          name + " has shape " + Arrays.toString(shape) + "; expected [" + config.features() + "]");
    }
  }

  private BatchView view(long[] shape) {
    if (mask == null) {
      return BatchView.of(config, shape, null);
    }
    MaskedView view = last;
    if (view == null || !Arrays.equals(view.shape, shape)) {
      view = new MaskedView(shape.clone(), BatchView.of(config, shape, mask));
      last = view;
    }
    return view.ofBatch;
  }

  private BatchView requireBatch(String name, T x) {
    parameters.requireOpen();
    requireNonNull(x, name + " is null; expected a batch of rank 2 to 5");
    DType dtype = backend.dtype(x);
    backend.requireBatchType(name, dtype);
    long[] shape = backend.shape(x);
    BatchView view;
    try {
      view = view(shape);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(name + ": " + e.getMessage(), e);
    }
    if (view.geometry().features() != config.features()) {
      throw new IllegalArgumentException(
          name + " has " + view.geometry().features() + " features, shape "
              + Arrays.toString(shape) + ", feature axis " + config.featureAxis() + "; expected "
              + config.features());
    }
    requireParameterType(name, dtype, "gamma", parameters.gamma());
    requireParameterType(name, dtype, "beta", parameters.beta());
    return view;
  }

  /** Refuses a batch that does not fit the parameters; statistics alone take any. */
  private void requireFits(String name, T x) {
    if (!parameters.arePlain()) {
      long[] shape = backend.shape(x);
      requireFits(name + ": gamma", parameters.gammaForm(), shape);
      requireFits(name + ": beta", parameters.betaForm(), shape);
    }
  }

  private void requireFits(String name, @Nullable ParameterForm form, long[] batch) {
    if (form != null) {
      form.requireFits(name, batch, config);
    }
  }

  private void requireParameterType(
      String name, DType dtype, String parameterName, @Nullable T parameter) {
    if (parameter != null && backend.dtype(parameter) != dtype.parameterType()) {
      throw new IllegalArgumentException(
          name + " is " + dtype + " and " + parameterName + " " + backend.dtype(parameter)
              + "; expected " + parameterName + " to be " + dtype.parameterType());
    }
  }

  private void requireStatistics(ReferenceStatistics<T> reference) {
    requireNonNull(reference, "reference is null; expected the statistics of a reference batch");
    reference.requireOpen();
    if (reference.features() != config.features()) {
      throw new IllegalArgumentException("reference statistics have " + reference.features()
          + " features; expected " + config.features());
    }
    VbnBackend<T> other = reference.backend();
    if (other != backend && !other.name().equals(backend.name())) {
      throw new IllegalArgumentException("reference statistics are on backend '" + other.name()
          + "'; expected '" + backend.name() + "': take them over by their moments()");
    }
    if (other != backend || !reference.owned()) {
      // Somebody else may have freed them, or they lie where this backend does not compute.
      backend.shape(reference.mean());
      backend.shape(reference.variance());
    }
  }

  private static void requirePart(BatchView view, ReferenceStatistics<?> reference, boolean whole) {
    long elements = view.geometry().countedElements();
    if (elements > reference.elements() || (whole && elements != reference.elements())) {
      throw new IllegalArgumentException(
          "reference batch has " + elements + " elements per feature; expected "
              + (whole ? "the " : "at most ") + reference.elements() + " of its statistics");
    }
  }

  /** Checks a tensor of the caller's that is to be written to. */
  private void requireOutput(String name, T tensor, T x, ReferenceStatistics<T> reference) {
    requireNonNull(tensor, name + " is null; expected a tensor to write to");
    backend.require(Capability.CALLER_SUPPLIED_OUTPUT, "a tensor for " + name + " was given");
    requireLike(name, tensor, x);
    backend.requireApart(name, tensor, "x", x);
    requireStatistics(reference);
    requireApart(name, tensor, "the reference mean", reference.mean());
    requireApart(name, tensor, "the reference variance", reference.variance());
    requireApart(name, tensor, "gamma", parameters.gamma());
  }

  /** Parameters and statistics are of another rank: memory shared with them is never right. */
  private void requireApart(String name, T written, String readName, @Nullable T read) {
    if (read != null) {
      backend.requireDisjoint(name, written, readName, read);
    }
  }

  private void requireLike(String name, T tensor, T x) {
    requireNonNull(tensor, name + " is null; expected the shape of x");
    long[] shape = backend.shape(tensor);
    long[] expected = backend.shape(x);
    if (!Arrays.equals(shape, expected)) {
      throw new IllegalArgumentException(name + " has shape " + Arrays.toString(shape)
          + "; expected that of x, " + Arrays.toString(expected));
    }
    if (backend.dtype(tensor) != backend.dtype(x)) {
      throw new IllegalArgumentException(
          name + " is " + backend.dtype(tensor) + "; expected the type of x, " + backend.dtype(x));
    }
  }
}
