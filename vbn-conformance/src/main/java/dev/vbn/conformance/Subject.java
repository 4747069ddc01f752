package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import dev.vbn.GradientSums;
import dev.vbn.Gradients;
import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.Capability;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** An open backend, driven through the layer with host tensors in and out. */
final class Subject<T> implements AutoCloseable {
  final VbnBackend<T> backend;
  final Tolerance tolerance;

  private final Memo<Case, Map<Asked, Computed>> known = Memo.byCase();

  private record Asked(DType dtype, Manner manner) {}

  Subject(VbnBackend<T> backend) {
    this.backend = backend;
    tolerance = new Tolerance(backend.capabilities());
  }

  /** FLOAT32, and whatever else the backend declares. */
  List<DType> dtypes() {
    List<DType> dtypes = new ArrayList<>(List.of(DType.FLOAT32));
    for (DType dtype : List.of(DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16)) {
      if (Capability.of(dtype).filter(this::has).isPresent()) {
        dtypes.add(dtype);
      }
    }
    return dtypes;
  }

  boolean has(Capability capability) {
    return backend.capabilities().contains(capability);
  }

  /** Whether the backend has what a quantity needs. */
  boolean computes(Quantity quantity) {
    return !quantity.isSecond() || has(Capability.DOUBLE_BACKWARD);
  }

  /** Takes the tensors that a check makes, and frees them. */
  Tensors<T> tensors() {
    return new Tensors<>(backend);
  }

  HostTensor host(T tensor) {
    return backend.toHost(tensor);
  }

  /** The provider's own access to tensors, which counts nothing and outlives the backend. */
  @SuppressWarnings("unchecked") // the kernels are of this backend
  TensorAccess<T> access() {
    return ((Kernels<T>) backend.unwrap(Kernels.class)).tensors();
  }

  /** What the layer must compute of a case rounded to {@code dtype}. */
  Expected expect(Case c, DType dtype) {
    return Oracle.expect(c, dtype, has(Capability.FLOAT64_STATISTICS));
  }

  /** The layer's results of a case rounded to {@code dtype}: computed once, however many look. */
  Computed known(Case c, DType dtype, Manner manner) {
    return known
        .get(c, ConcurrentHashMap::new)
        .computeIfAbsent(new Asked(dtype, manner), first -> run(c, dtype, manner));
  }

  /** The layer's results of a case rounded to {@code dtype}, anew. */
  Computed run(Case c, DType dtype) {
    return run(c, dtype, Manner.PLAIN);
  }

  Computed run(Case c, DType dtype, Manner manner) {
    try (Tensors<T> made = tensors()) {
      return run(c, dtype, manner, made);
    }
  }

  /** As above, on tensors that {@code made} makes. */
  Computed run(Case exact, DType dtype, Manner manner, Tensors<T> made) {
    Case c = exact.roundedTo(dtype);
    VirtualBatchNorm<T> whole = made.layer(c, dtype);
    VirtualBatchNorm<T> layer = masked(whole, c.referenceMask());
    T reference = made.as(Argument.REFERENCE, c.reference(), dtype);
    Computed computed = new Computed();
    try (ReferenceOutput<T> pass = layer.reference(reference)) {
      computed.put(Quantity.REFERENCE_OUTPUT, host(pass.output()));
      computed.put(Quantity.MEAN, host(pass.statistics().mean()));
      computed.put(Quantity.VARIANCE, host(pass.statistics().variance()));
      try (ReferenceStatistics<T> lone = layer.referenceStatistics(reference)) {
        computed.put(Quantity.LONE_MEAN, host(lone.mean()));
        computed.put(Quantity.LONE_VARIANCE, host(lone.variance()));
      }
      try (ReferenceStatistics<T> statistics = statistics(c, dtype, manner, made, pass)) {
        Arguments arguments = new Arguments();
        arguments.watch("the reference batch", reference);
        arguments.watch("gamma", whole.gamma());
        arguments.watch("beta", whole.beta());
        arguments.watch("the reference mean", statistics.mean());
        arguments.watch("the reference variance", statistics.variance());
        live(c, dtype, manner, made, whole, statistics, computed, arguments);
        T upstream = made.as(Argument.REFERENCE_UPSTREAM, c.referenceUpstream(), dtype);
        arguments.watch("the upstream gradient of the reference pass", upstream);
        ReferenceStatistics<T> own = c.counted() == null ? statistics : pass.statistics();
        try (Gradients<T> gradients = layer.referenceBackward(reference, own, upstream)) {
          computed.put(Quantity.REFERENCE_DX, host(gradients.dx()));
          computed.put(Quantity.REFERENCE_DGAMMA, host(gradients.dgamma()));
          computed.put(Quantity.REFERENCE_DBETA, host(gradients.dbeta()));
        }
        arguments.assertUnchanged();
      }
    }
    return computed;
  }

  /** What kernels are given and may not change. */
  private final class Arguments {
    private record Watched<V>(String name, V tensor, HostTensor before) {}

    private final List<Watched<T>> watched = new ArrayList<>();

    void watch(String name, @Nullable T tensor) {
      if (tensor != null) {
        watched.add(new Watched<>(name, tensor, host(tensor)));
      }
    }

    void assertUnchanged() {
      for (Watched<T> each : watched) {
        Tolerance.assertSameBits(
            each.name,
            each.before,
            host(each.tensor),
            "It changed: kernels change nothing but a tensor supplied for a result.");
      }
    }
  }

  /** A layer that is never masked stays what it is, as in a program that knows no masks. */
  private static <T> VirtualBatchNorm<T> masked(VirtualBatchNorm<T> layer, @Nullable Mask mask) {
    return mask == null ? layer : layer.withMask(mask);
  }

  /** Statistics of their own, whatever their source. */
  private ReferenceStatistics<T> statistics(
      Case c, DType dtype, Manner manner, Tensors<T> made, ReferenceOutput<T> pass) {
    VirtualBatchNorm<T> bare = VirtualBatchNorm.of(backend, c.config());
    return switch (c.counted() != null ? Source.MOMENTS : manner.statistics()) {
      case PASS -> pass.takeStatistics();
      case ALONE ->
        masked(bare, c.referenceMask()).referenceStatistics(made.of(c.reference(), dtype));
      case CHUNKS ->
        c.referencePadding() == null
            ? bare.referenceStatistics(chunks((int) c.reference().shape()[0]).stream()
                .map(chunk -> made.of(Layouts.examples(c.reference(), chunk), dtype))
                .toList())
            : ReferenceStatistics.of(backend, merged(c, c.referencePadding(), dtype, made, bare));
      case MOMENTS -> {
        DType type = backend.statisticsType();
        ReferenceStatistics<T> own = pass.statistics();
        yield ReferenceStatistics.wrap(
            backend,
            made.as(Argument.MEAN, host(own.mean()), type),
            made.as(Argument.VARIANCE, host(own.variance()), type),
            c.counted() == null ? own.examples() : c.counted().examples(),
            c.counted() == null ? own.elements() : c.counted().elements());
      }
    };
  }

  /** The first example alone, and the others. */
  private static List<int[]> chunks(int examples) {
    return examples == 1
        ? List.of(new int[] {0})
        : List.of(new int[] {0}, IntStream.range(1, examples).toArray());
  }

  private static Mask maskOf(Case c, Padding padding, int[] chunk, HostTensor part) {
    return padding.ofExamples(chunk, part.shape(), c.config().featureAxis()).mask();
  }

  /** Chunk by chunk, each with its own mask; one of which nothing counts is left out. */
  private ReferenceMoments merged(
      Case c, Padding padding, DType dtype, Tensors<T> made, VirtualBatchNorm<T> bare) {
    ReferenceMoments total = ReferenceMoments.empty(c.config().features());
    for (int[] chunk : chunks(padding.examples())) {
      if (padding.ofExamples(chunk).countedElements() > 0) {
        HostTensor part = Layouts.examples(c.reference(), chunk);
        try (ReferenceStatistics<T> statistics = bare.withMask(maskOf(c, padding, chunk, part))
            .referenceStatistics(made.of(part, dtype))) {
          total = total.merge(statistics.moments());
        }
      }
    }
    return total;
  }

  private void live(
      Case c,
      DType dtype,
      Manner manner,
      Tensors<T> made,
      VirtualBatchNorm<T> whole,
      ReferenceStatistics<T> statistics,
      Computed computed,
      Arguments arguments) {
    VirtualBatchNorm<T> layer = masked(whole, c.mask());
    T x = made.as(Argument.X, c.x(), dtype);
    MixedStatistics mixed = layer.mixedStatistics(x, statistics);
    computed.put(Quantity.LIVE_MEAN, mixed.mean());
    computed.put(Quantity.LIVE_VARIANCE, mixed.variance());
    T upstream = made.as(Argument.UPSTREAM, c.upstream(), dtype);
    if (has(Capability.DOUBLE_BACKWARD)) {
      twice(c, dtype, made, layer, x, statistics, upstream, computed, arguments);
    }
    Passes passes = passes(c, manner);
    if (passes == Passes.SHARED_STATISTICS) {
      arguments.watch("x", x);
      arguments.watch("the upstream gradient", upstream);
      ReferenceMoments live = layer.liveMoments(x);
      try (Output<T> output = layer.forward(x, statistics, live)) {
        computed.put(Quantity.OUTPUT, host(output.output()));
      }
      GradientSums sums = layer.gradientSums(x, statistics, live, upstream);
      try (Gradients<T> gradients = layer.backward(x, statistics, live, upstream, sums)) {
        put(c, dtype, manner, made, whole, statistics, gradients, computed);
      }
      return;
    }
    if (passes == Passes.PARAMETERS_OF_EXAMPLES) {
      layer = repeated(c, dtype, made, layer);
    }
    boolean supplies = has(Capability.CALLER_SUPPLIED_OUTPUT);
    Into outputInto = supplies ? manner.output() : Into.NEW;
    Into dxInto = supplies ? manner.dx() : Into.NEW;
    if (dxInto != Into.OVER_X) {
      arguments.watch("x", x);
    }
    T own = outputInto == Into.OVER_X ? made.as(Argument.X, c.x(), dtype) : x;
    try (Output<T> live = switch (outputInto) {
      case SUPPLIED ->
        layer.forwardInto(
            made.as(Argument.OUTPUT, Layouts.filled(c.x(), Double.NaN), dtype), own, statistics);
      case OVER_X -> layer.forwardInto(own, own, statistics);
      default -> layer.forward(own, statistics);
    }) {
      computed.put(Quantity.OUTPUT, host(live.output()));
    }
    if (dxInto != Into.OVER_UPSTREAM) {
      arguments.watch("the upstream gradient", upstream);
    }
    try (Gradients<T> gradients = switch (dxInto) {
      case SUPPLIED ->
        layer.backwardInto(
            made.as(Argument.DX, Layouts.filled(c.x(), Double.NaN), dtype),
            x,
            statistics,
            upstream);
      case OVER_X -> layer.backwardInto(x, x, statistics, upstream);
      case OVER_UPSTREAM -> layer.backwardInto(upstream, x, statistics, upstream);
      case NEW -> layer.backward(x, statistics, upstream);
    }) {
      put(c, dtype, manner, made, whole, statistics, gradients, computed);
    }
  }

  /** Those of a manner, or the usual ones where the backend has no others. */
  Passes passes(Case c, Manner manner) {
    boolean possible = has(Capability.CONDITIONAL)
        && (manner.passes() != Passes.SHARED_STATISTICS
            || c.config().variant().scope() == Scope.BATCH);
    return possible ? manner.passes() : Passes.WHOLE;
  }

  private void twice(
      Case c,
      DType dtype,
      Tensors<T> made,
      VirtualBatchNorm<T> layer,
      T x,
      ReferenceStatistics<T> statistics,
      T upstream,
      Computed computed,
      Arguments arguments) {
    VirtualBatchNorm<T> detached = layer.withReferenceGradient(ReferenceGradient.DETACHED);
    GradientUpstream<T> second = second(c, dtype, made);
    arguments.watch("v", second.dx());
    arguments.watch("vgamma", second.dgamma());
    arguments.watch("vbeta", second.dbeta());
    try (SecondGradients<T> gradients = detached.doubleBackward(x, statistics, upstream, second)) {
      computed.put(Quantity.SECOND_X, host(gradients.x()));
      computed.put(Quantity.SECOND_UPSTREAM, host(gradients.upstream()));
      computed.put(Quantity.SECOND_GAMMA, host(gradients.gamma()));
    }
  }

  /** The layer with each parameter once for every example. */
  private static <T> VirtualBatchNorm<T> repeated(
      Case c, DType dtype, Tensors<T> made, VirtualBatchNorm<T> layer) {
    int examples = (int) c.x().shape()[0];
    DType type = dtype.parameterType();
    VirtualBatchNorm<T> repeated = layer;
    if (c.gamma() != null) {
      repeated =
          repeated.withGamma(made.as(Argument.GAMMA, Layouts.repeated(c.gamma(), examples), type));
    }
    if (c.beta() != null) {
      repeated =
          repeated.withBeta(made.as(Argument.BETA, Layouts.repeated(c.beta(), examples), type));
    }
    return repeated;
  }

  private void put(
      Case c,
      DType dtype,
      Manner manner,
      Tensors<T> made,
      VirtualBatchNorm<T> whole,
      ReferenceStatistics<T> statistics,
      Gradients<T> gradients,
      Computed computed) {
    int features = c.config().features();
    computed.put(Quantity.DX, host(gradients.dx()));
    computed.put(Quantity.DGAMMA, Layouts.total(host(gradients.dgamma()), features));
    computed.put(Quantity.DBETA, Layouts.total(host(gradients.dbeta()), features));
    if (!c.attached()) {
      return;
    }
    if (manner.statistics() == Source.CHUNKS) {
      computed.put(Quantity.DREFERENCE, ofChunks(c, dtype, made, whole, statistics, gradients));
      return;
    }
    try (Output<T> reached = masked(whole, c.referenceMask())
        .referenceGradient(
            made.as(Argument.REFERENCE, c.reference(), dtype), statistics, gradients)) {
      computed.put(Quantity.DREFERENCE, host(reached.output()));
    }
  }

  /** The gradient of each chunk of the reference batch; 0 where nothing of a chunk counts. */
  private HostTensor ofChunks(
      Case c,
      DType dtype,
      Tensors<T> made,
      VirtualBatchNorm<T> whole,
      ReferenceStatistics<T> statistics,
      Gradients<T> gradients) {
    HostTensor all = null;
    for (int[] chunk : chunks((int) c.reference().shape()[0])) {
      HostTensor part = Layouts.examples(c.reference(), chunk);
      Padding padding = c.referencePadding();
      HostTensor gradient;
      if (padding != null && padding.ofExamples(chunk).countedElements() == 0) {
        gradient = Layouts.filled(part, 0);
      } else {
        Mask mask = padding == null ? null : maskOf(c, padding, chunk, part);
        try (Output<T> reached =
            masked(whole, mask).referenceGradient(made.of(part, dtype), statistics, gradients)) {
          gradient = host(reached.output());
        }
      }
      all = all == null ? gradient : Layouts.concatenate(all, gradient);
    }
    return requireNonNull(all);
  }

  /** Upstream gradients of a case's gradients. */
  static <T> GradientUpstream<T> second(Case c, DType dtype, Tensors<T> made) {
    GradientUpstream<HostTensor> host = c.second(dtype);
    DType type = dtype.parameterType();
    GradientUpstream<T> second =
        GradientUpstream.ofDx(made.as(Argument.SECOND_DX, host.dx(), dtype));
    if (host.dgamma() != null) {
      second = second.withDgamma(made.as(Argument.SECOND_DGAMMA, host.dgamma(), type));
    }
    if (host.dbeta() != null) {
      second = second.withDbeta(made.as(Argument.SECOND_DBETA, host.dbeta(), type));
    }
    return second;
  }

  /** The live output alone. */
  HostTensor output(VirtualBatchNorm<T> layer, T x, ReferenceStatistics<T> statistics) {
    try (Output<T> live = layer.forward(x, statistics)) {
      return host(live.output());
    }
  }

  @Override
  public void close() {
    backend.close();
  }
}
