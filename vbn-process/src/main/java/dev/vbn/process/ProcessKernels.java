package dev.vbn.process;

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
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.state.NamedTensors;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The kernels as requests: docs/PROCESS.md says what each holds, and what answers it. */
final class ProcessKernels implements Kernels<HostTensor> {
  private final Pool pool;
  private final Set<Capability> capabilities;
  private final DType statisticsType;

  ProcessKernels(Pool pool) {
    this.pool = pool;
    // Plain arrays can always be filled, and belong to nobody.
    capabilities =
        EnumSet.of(Capability.CALLER_SUPPLIED_OUTPUT, Capability.TENSORS_OUTLIVE_BACKEND);
    capabilities.addAll(pool.hello().capabilities());
    statisticsType =
        capabilities.contains(Capability.FLOAT64_STATISTICS) ? DType.FLOAT64 : DType.FLOAT32;
  }

  @Override
  public TensorAccess<HostTensor> tensors() {
    return new HostTensorAccess();
  }

  @Override
  public Set<Capability> capabilities() {
    return capabilities;
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  private static HostTensor of(NamedTensors answer, String name) {
    return requireNonNull(answer.tensors().get(name), name);
  }

  private static Moments<HostTensor> moments(NamedTensors answer) {
    return new Moments<>(of(answer, "mean"), of(answer, "variance"));
  }

  /** The tensor in the caller's shape, or its elements in the caller's tensor. */
  private static HostTensor given(
      HostTensor answer, HostTensor like, @Nullable HostTensor supplied) {
    if (supplied == null) {
      return Message.shaped(answer, like.shape());
    }
    Object from = answer.dtype() == DType.FLOAT64 ? answer.doubles() : answer.floats();
    Object to = answer.dtype() == DType.FLOAT64 ? supplied.doubles() : supplied.floats();
    System.arraycopy(from, 0, to, 0, answer.size());
    return supplied;
  }

  private Message expectingMoments(Message request, long... shape) {
    return request
        .expecting("mean", statisticsType, shape)
        .expecting("variance", statisticsType, shape);
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry, Scope scope) {
    Message request = new Message("statistics").with("scope", word(scope)).with("x", x, geometry);
    long[] shape = scope == Scope.EXAMPLE
        ? new long[] {geometry.batch(), geometry.features()}
        : new long[] {geometry.features()};
    return moments(pool.answer(expectingMoments(request, shape)));
  }

  @Override
  public Normalized<HostTensor> reference(
      HostTensor x, Normalization how, @Nullable HostTensor gamma, @Nullable HostTensor beta) {
    Geometry geometry = how.geometry();
    Message request = new Message("reference")
        .with("epsilon", how.epsilon())
        .with("x", x, geometry)
        .with("gamma", gamma)
        .with("beta", beta)
        .expecting("output", x.dtype(), Message.shape(geometry));
    NamedTensors answer = pool.answer(expectingMoments(request, geometry.features()));
    return new Normalized<>(given(of(answer, "output"), x, null), moments(answer));
  }

  private static Message with(String operation, Normalization how) {
    return new Message(operation)
        .with("scope", word(how.scope()))
        .with("weight", how.weight())
        .with("epsilon", how.epsilon());
  }

  @Override
  public HostTensor forward(
      HostTensor x,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    NamedTensors answer = pool.answer(with("forward", how)
        .with("x", x, how.geometry())
        .with(reference)
        .with("gamma", gamma)
        .with("beta", beta)
        .expecting("output", x.dtype(), Message.shape(how.geometry())));
    return given(of(answer, "output"), x, output);
  }

  @Override
  public Differentiated<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx) {
    Geometry geometry = how.geometry();
    boolean attached = how.referenceGradient() == ReferenceGradient.ATTACHED;
    DType parameterType = x.dtype().parameterType();
    Message request = with("backward", how)
        .with("attached", Boolean.toString(attached))
        .with("x", x, geometry)
        .with("upstream", upstream, geometry)
        .with(reference)
        .with("gamma", gamma)
        .expecting("dx", x.dtype(), Message.shape(geometry))
        .expecting("dgamma", parameterType, geometry.features())
        .expecting("dbeta", parameterType, geometry.features());
    if (attached) {
      request
          .expecting("dmean", statisticsType, geometry.features())
          .expecting("dvariance", statisticsType, geometry.features());
    }
    NamedTensors answer = pool.answer(request);
    return new Differentiated<>(
        given(of(answer, "dx"), x, dx),
        of(answer, "dgamma"),
        of(answer, "dbeta"),
        attached ? new Moments<>(of(answer, "dmean"), of(answer, "dvariance")) : null);
  }

  @Override
  public TwiceDifferentiated<HostTensor> doubleBackward(
      HostTensor x,
      HostTensor upstream,
      GradientUpstream<HostTensor> second,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    Geometry geometry = how.geometry();
    NamedTensors answer = pool.answer(with("double-backward", how)
        .with("x", x, geometry)
        .with("upstream", upstream, geometry)
        .with(reference)
        .with("gamma", gamma)
        .with("v", second.dx(), geometry)
        .with("vgamma", second.dgamma())
        .with("vbeta", second.dbeta())
        .expecting("x_gradient", x.dtype(), Message.shape(geometry))
        .expecting("dy_gradient", x.dtype(), Message.shape(geometry))
        .expecting("gamma_gradient", x.dtype().parameterType(), geometry.features()));
    return new TwiceDifferentiated<>(
        given(of(answer, "x_gradient"), x, null),
        given(of(answer, "dy_gradient"), x, null),
        of(answer, "gamma_gradient"));
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    NamedTensors answer = pool.answer(new Message("reference-gradient")
        .with("elements", Long.toString(elements))
        .with("x", r, geometry)
        .with(statistics)
        .with("dmean", gradient.mean())
        .with("dvariance", gradient.variance())
        .expecting("dx", r.dtype(), Message.shape(geometry)));
    return given(of(answer, "dx"), r, null);
  }

  @Override
  public GroupSums sums(
      HostTensor x, HostTensor upstream, Normalization how, Moments<HostTensor> reference) {
    Geometry geometry = how.geometry();
    long[] shape = {groups(geometry, how.scope()), geometry.features()};
    NamedTensors answer = pool.answer(with("sums", how)
        .with("x", x, geometry)
        .with("upstream", upstream, geometry)
        .with(reference)
        .expecting("a", DType.FLOAT64, shape)
        .expecting("b", DType.FLOAT64, shape));
    return new GroupSums(of(answer, "a").doubles(), of(answer, "b").doubles());
  }

  private static long groups(Geometry geometry, Scope scope) {
    return scope == Scope.EXAMPLE ? geometry.batch() : 1;
  }

  @Override
  public HostTensor write(
      HostTensor x,
      @Nullable HostTensor upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable HostTensor output) {
    long[] shape = {groups(geometry, scope), geometry.features()};
    double[] slope = lines.slope();
    Message request = new Message("write")
        .with("scope", word(scope))
        .with("x", x, geometry)
        .with("center", HostTensor.of(lines.center(), shape))
        .with("factor", HostTensor.of(lines.factor(), shape))
        .with("slope", slope == null ? null : HostTensor.of(slope, shape))
        .with("offset", HostTensor.of(lines.offset(), shape))
        .expecting("output", x.dtype(), Message.shape(geometry));
    if (upstream != null) {
      request.with("upstream", upstream, geometry);
    }
    return given(of(pool.answer(request), "output"), x, output);
  }

  @Override
  public void close() {
    pool.close();
  }
}
