package dev.vbn.spi;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.EnumSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * {@link Capability#MASK} for kernels that know no masks: what counts is packed into a batch of its
 * own, computed, and copied back. Batches without a mask go to the kernels as they are.
 *
 * <p>It costs a copy of what counts on the way in and on the way out. Kernels that skip what does
 * not count need neither.
 *
 * @param <T> the tensor type
 */
public final class MaskedKernels<T> implements Kernels<T> {
  /**
   * Copies between a batch and the dense batch of what counts.
   *
   * @param <T> the tensor type
   */
  public interface Copies<T> {
    /** A new tensor of that shape and the type of {@code like}; all of its elements will be set. */
    T make(T like, long... shape);

    /** Copies what counts of a part to a tensor of {@link CountedPart#denseShape}. */
    void gather(T batch, CountedPart part, T dense);

    /** Copies what counts of a part back, and sets all else of the part to 0. */
    void scatter(T dense, CountedPart part, T batch);

    /** Sets the whole of a part to 0. */
    void clear(CountedPart part, T batch);
  }

  private final Kernels<T> kernels;
  private final TensorAccess<T> tensors;
  private final Copies<T> copies;
  private final Set<Capability> capabilities;
  private final boolean inPlace;

  /** Over kernels that know no masks. */
  public MaskedKernels(Kernels<T> kernels, Copies<T> copies) {
    this.kernels = kernels;
    this.copies = copies;
    tensors = kernels.tensors();
    EnumSet<Capability> all = EnumSet.of(Capability.MASK);
    all.addAll(kernels.capabilities());
    capabilities = Collections.unmodifiableSet(all);
    inPlace = all.contains(Capability.CALLER_SUPPLIED_OUTPUT);
  }

  /** Over kernels on plain arrays. */
  public static MaskedKernels<HostTensor> ofArrays(Kernels<HostTensor> kernels) {
    return new MaskedKernels<>(kernels, new ArrayCopies());
  }

  /** The wrapped kernels, which know no masks. */
  public Kernels<T> kernels() {
    return kernels;
  }

  @Override
  public TensorAccess<T> tensors() {
    return tensors;
  }

  @Override
  public Set<Capability> capabilities() {
    return capabilities;
  }

  @Override
  public @Nullable String description() {
    return kernels.description();
  }

  private static Normalization of(CountedPart part, Normalization how) {
    return new Normalization(
        part.dense(), how.scope(), how.weight(), how.epsilon(), how.referenceGradient());
  }

  @Override
  public Moments<T> statistics(T x, Geometry geometry, Scope scope) {
    if (geometry.counted() == null) {
      return kernels.statistics(x, geometry, scope);
    }
    if (scope != Scope.EXAMPLE) {
      try (Call call = new Call()) {
        CountedPart part = CountedPart.of(geometry, Scope.BATCH)[0];
        return kernels.statistics(call.gather(x, part), part.dense(), scope);
      }
    }
    int features = (int) geometry.features();
    int batch = (int) geometry.batch();
    double[] mean = new double[batch * features];
    double[] variance = new double[batch * features];
    Arrays.fill(mean, Double.NaN);
    Arrays.fill(variance, Double.NaN);
    for (CountedPart part : CountedPart.of(geometry, Scope.EXAMPLE)) {
      if (part.elements() > 0) {
        try (Call call = new Call()) {
          Moments<T> own = kernels.statistics(call.gather(x, part), part.dense(), scope);
          int at = (int) part.first() * features;
          System.arraycopy(call.values(own.mean()), 0, mean, at, features);
          System.arraycopy(call.values(own.variance()), 0, variance, at, features);
        }
      }
    }
    try (Call call = new Call()) {
      return call.keep(moments(call, mean, variance, batch, features));
    }
  }

  private Moments<T> moments(Call call, double[] mean, double[] variance, long... shape) {
    DType type =
        capabilities.contains(Capability.FLOAT64_STATISTICS) ? DType.FLOAT64 : DType.FLOAT32;
    return new Moments<>(
        call.own(tensors.fromHost(HostTensor.of(mean, shape), type)),
        call.own(tensors.fromHost(HostTensor.of(variance, shape), type)));
  }

  @Override
  public Normalized<T> reference(T x, Normalization how, @Nullable T gamma, @Nullable T beta) {
    if (how.geometry().counted() == null) {
      return kernels.reference(x, how, gamma, beta);
    }
    try (Call call = new Call()) {
      CountedPart part = CountedPart.of(how.geometry(), Scope.BATCH)[0];
      Normalized<T> dense = kernels.reference(call.gather(x, part), of(part, how), gamma, beta);
      call.own(dense.output());
      call.own(dense.statistics());
      T output = call.make(x);
      copies.scatter(dense.output(), part, output);
      return new Normalized<>(call.keep(output), call.keep(dense.statistics()));
    }
  }

  @Override
  public T forward(
      T x,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma,
      @Nullable T beta,
      @Nullable T output) {
    if (how.geometry().counted() == null) {
      return kernels.forward(x, how, reference, gamma, beta, output);
    }
    try (Call whole = new Call()) {
      T result = output != null ? output : whole.make(x);
      for (CountedPart part : CountedPart.of(how.geometry(), how.scope())) {
        if (part.elements() == 0) {
          copies.clear(part, result);
          continue;
        }
        try (Call call = new Call()) {
          T dense = call.gather(x, part);
          T into = inPlace ? dense : null;
          T y = kernels.forward(dense, of(part, how), reference, gamma, beta, into);
          copies.scatter(inPlace ? dense : call.own(y), part, result);
        }
      }
      return output != null ? output : whole.keep(result);
    }
  }

  @Override
  public Differentiated<T> backward(
      T x, T upstream, Normalization how, Moments<T> reference, @Nullable T gamma, @Nullable T dx) {
    if (how.geometry().counted() == null) {
      return kernels.backward(x, upstream, how, reference, gamma, dx);
    }
    try (Call whole = new Call()) {
      T result = dx != null ? dx : whole.make(x);
      Differentiated<T> gradients = how.scope() == Scope.EXAMPLE
          ? perExample(x, upstream, how, reference, gamma, result)
          : backward(
              x,
              upstream,
              how,
              reference,
              gamma,
              CountedPart.of(how.geometry(), Scope.BATCH)[0],
              result);
      return new Differentiated<>(
          dx != null ? dx : whole.keep(result),
          gradients.dgamma(),
          gradients.dbeta(),
          gradients.dreference());
    }
  }

  private Differentiated<T> perExample(
      T x, T upstream, Normalization how, Moments<T> reference, @Nullable T gamma, T result) {
    Sums sums = new Sums((int) how.geometry().features());
    for (CountedPart part : CountedPart.of(how.geometry(), Scope.EXAMPLE)) {
      if (part.elements() == 0) {
        copies.clear(part, result);
      } else {
        sums.add(backward(x, upstream, how, reference, gamma, part, result));
      }
    }
    return sums.with(result, tensors.dtype(x).parameterType());
  }

  /** The gradients of a part, whose dx goes to {@code result}. */
  private Differentiated<T> backward(
      T x,
      T upstream,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma,
      CountedPart part,
      T result) {
    try (Call call = new Call()) {
      T dense = call.gather(x, part);
      T dy = call.gather(upstream, part);
      T into = inPlace ? dy : null;
      Differentiated<T> gradients =
          kernels.backward(dense, dy, of(part, how), reference, gamma, into);
      call.own(gradients.dgamma());
      call.own(gradients.dbeta());
      Moments<T> dreference = gradients.dreference();
      if (dreference != null) {
        call.own(dreference);
      }
      copies.scatter(inPlace ? dy : call.own(gradients.dx()), part, result);
      return new Differentiated<>(
          result,
          call.keep(gradients.dgamma()),
          call.keep(gradients.dbeta()),
          dreference == null ? null : call.keep(dreference));
    }
  }

  @Override
  public TwiceDifferentiated<T> doubleBackward(
      T x,
      T upstream,
      GradientUpstream<T> second,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma) {
    if (how.geometry().counted() == null) {
      return kernels.doubleBackward(x, upstream, second, how, reference, gamma);
    }
    try (Call whole = new Call()) {
      T ofX = whole.make(x);
      T ofUpstream = whole.make(upstream);
      double[] ofGamma = new double[(int) how.geometry().features()];
      for (CountedPart part : CountedPart.of(how.geometry(), how.scope())) {
        if (part.elements() == 0) {
          copies.clear(part, ofX);
          copies.clear(part, ofUpstream);
          continue;
        }
        try (Call call = new Call()) {
          T v = call.gather(second.dx(), part);
          TwiceDifferentiated<T> gradients = kernels.doubleBackward(
              call.gather(x, part),
              call.gather(upstream, part),
              new GradientUpstream<>(v, second.dgamma(), second.dbeta()),
              of(part, how),
              reference,
              gamma);
          copies.scatter(call.own(gradients.x()), part, ofX);
          copies.scatter(call.own(gradients.upstream()), part, ofUpstream);
          double[] ofPart = call.values(gradients.gamma());
          for (int i = 0; i < ofGamma.length; i++) {
            ofGamma[i] += ofPart[i];
          }
        }
      }
      T gammas = tensors.fromHost(
          HostTensor.of(ofGamma, ofGamma.length), tensors.dtype(x).parameterType());
      return new TwiceDifferentiated<>(whole.keep(ofX), whole.keep(ofUpstream), gammas);
    }
  }

  @Override
  public T referenceGradient(
      T r, Geometry geometry, Moments<T> statistics, Moments<T> gradient, long elements) {
    if (geometry.counted() == null) {
      return kernels.referenceGradient(r, geometry, statistics, gradient, elements);
    }
    try (Call call = new Call()) {
      CountedPart part = CountedPart.of(geometry, Scope.BATCH)[0];
      T dense = call.own(kernels.referenceGradient(
          call.gather(r, part), part.dense(), statistics, gradient, elements));
      T dr = call.make(r);
      copies.scatter(dense, part, dr);
      return call.keep(dr);
    }
  }

  @Override
  public GroupSums sums(T x, T upstream, Normalization how, Moments<T> reference) {
    if (how.geometry().counted() == null) {
      return kernels.sums(x, upstream, how, reference);
    }
    int features = (int) how.geometry().features();
    CountedPart[] parts = CountedPart.of(how.geometry(), how.scope());
    GroupSums all =
        new GroupSums(new double[parts.length * features], new double[parts.length * features]);
    for (int i = 0; i < parts.length; i++) {
      if (parts[i].elements() > 0) {
        try (Call call = new Call()) {
          GroupSums own = kernels.sums(
              call.gather(x, parts[i]),
              call.gather(upstream, parts[i]),
              of(parts[i], how),
              reference);
          System.arraycopy(own.upstream(), 0, all.upstream(), i * features, features);
          System.arraycopy(own.upstreamInput(), 0, all.upstreamInput(), i * features, features);
        }
      }
    }
    return all;
  }

  @Override
  public T write(
      T x,
      @Nullable T upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable T output) {
    if (geometry.counted() == null) {
      return kernels.write(x, upstream, geometry, scope, lines, output);
    }
    try (Call whole = new Call()) {
      T result = output != null ? output : whole.make(x);
      CountedPart[] parts = CountedPart.of(geometry, scope);
      for (int i = 0; i < parts.length; i++) {
        if (parts[i].elements() == 0) {
          copies.clear(parts[i], result);
          continue;
        }
        try (Call call = new Call()) {
          T dense = call.gather(x, parts[i]);
          T dy = upstream == null ? null : call.gather(upstream, parts[i]);
          GroupLines own = lines.ofGroup(i, (int) geometry.features());
          T into = inPlace ? dense : null;
          T y = kernels.write(dense, dy, parts[i].dense(), scope, own, into);
          copies.scatter(inPlace ? dense : call.own(y), parts[i], result);
        }
      }
      return output != null ? output : whole.keep(result);
    }
  }

  @Override
  public void close() {
    kernels.close();
  }

  /** The tensors that one call has made on its way, freed at its end. */
  private final class Call implements AutoCloseable {
    private final Deque<T> made = new ArrayDeque<>();

    T own(T tensor) {
      made.push(tensor);
      return tensor;
    }

    T gather(T batch, CountedPart part) {
      T dense = own(copies.make(batch, part.denseShape()));
      copies.gather(batch, part, dense);
      return dense;
    }

    double[] values(T tensor) {
      return tensors.toHost(own(tensor)).toDoubles();
    }

    T make(T batch) {
      return own(copies.make(batch, tensors.shape(batch)));
    }

    Moments<T> own(Moments<T> moments) {
      own(moments.mean());
      own(moments.variance());
      return moments;
    }

    /** Leaves a tensor to the caller. */
    @SuppressWarnings("ReferenceEquality") // those of some libraries are equal by value
    T keep(T tensor) {
      made.removeIf(each -> each == tensor);
      return tensor;
    }

    Moments<T> keep(Moments<T> moments) {
      return new Moments<>(keep(moments.mean()), keep(moments.variance()));
    }

    @Override
    public void close() {
      while (!made.isEmpty()) {
        tensors.release(made.pop());
      }
    }
  }

  /** What the examples of a batch add up to, in 64 bits. */
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

    void add(Differentiated<T> part) {
      try (Call call = new Call()) {
        add(call.values(part.dgamma()), dgamma);
        add(call.values(part.dbeta()), dbeta);
        Moments<T> dreference = part.dreference();
        if (dreference != null) {
          attached = true;
          add(call.values(dreference.mean()), dmean);
          add(call.values(dreference.variance()), dvariance);
        }
      }
    }

    private static void add(double[] of, double[] to) {
      for (int i = 0; i < to.length; i++) {
        to[i] += of[i];
      }
    }

    Differentiated<T> with(T dx, DType type) {
      int features = dgamma.length;
      try (Call call = new Call()) {
        T gamma = call.own(tensors.fromHost(HostTensor.of(dgamma, features), type));
        T beta = call.own(tensors.fromHost(HostTensor.of(dbeta, features), type));
        Moments<T> reference = attached ? moments(call, dmean, dvariance, features) : null;
        return new Differentiated<>(
            dx, call.keep(gamma), call.keep(beta), reference == null ? null : call.keep(reference));
      }
    }
  }

  /** Of plain arrays. */
  private static final class ArrayCopies implements Copies<HostTensor> {
    /** Copying fewer elements one by one is faster than the call. */
    private static final int SHORT = 16;

    @Override
    public HostTensor make(HostTensor like, long... shape) {
      return HostTensor.zeros(like.dtype(), shape);
    }

    @Override
    public void gather(HostTensor batch, CountedPart part, HostTensor dense) {
      if (batch.dtype() == DType.FLOAT64) {
        double[] from = batch.doubles();
        double[] to = dense.doubles();
        part.forEachRun(
            Integer.MAX_VALUE,
            (inBatch, inDense, length) -> copy(from, (int) inBatch, to, (int) inDense, length));
      } else {
        float[] from = batch.floats();
        float[] to = dense.floats();
        part.forEachRun(
            Integer.MAX_VALUE,
            (inBatch, inDense, length) -> copy(from, (int) inBatch, to, (int) inDense, length));
      }
    }

    @Override
    public void scatter(HostTensor dense, CountedPart part, HostTensor batch) {
      clear(part, batch);
      if (batch.dtype() == DType.FLOAT64) {
        double[] from = dense.doubles();
        double[] to = batch.doubles();
        part.forEachRun(
            Integer.MAX_VALUE,
            (inBatch, inDense, length) -> copy(from, (int) inDense, to, (int) inBatch, length));
      } else {
        float[] from = dense.floats();
        float[] to = batch.floats();
        part.forEachRun(
            Integer.MAX_VALUE,
            (inBatch, inDense, length) -> copy(from, (int) inDense, to, (int) inBatch, length));
      }
    }

    private static void copy(float[] from, int first, float[] to, int at, int length) {
      if (length > SHORT) {
        System.arraycopy(from, first, to, at, length);
        return;
      }
      for (int i = 0; i < length; i++) {
        to[at + i] = from[first + i];
      }
    }

    private static void copy(double[] from, int first, double[] to, int at, int length) {
      if (length > SHORT) {
        System.arraycopy(from, first, to, at, length);
        return;
      }
      for (int i = 0; i < length; i++) {
        to[at + i] = from[first + i];
      }
    }

    @Override
    public void clear(CountedPart part, HostTensor batch) {
      if (batch.dtype() == DType.FLOAT64) {
        Arrays.fill(batch.doubles(), (int) part.from(), (int) part.to(), 0);
      } else {
        Arrays.fill(batch.floats(), (int) part.from(), (int) part.to(), 0);
      }
    }
  }
}
