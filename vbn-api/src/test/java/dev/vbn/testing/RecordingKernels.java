package dev.vbn.testing;

import static java.util.stream.Collectors.toCollection;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackend;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.HostTensorAccess;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Kernels that compute nothing: they keep what they were called with, and answer tensors that are
 * full of their own number among those made, or the moments that the test laid out. They know every
 * tensor that they made and every one released, and fail where the test says so. Tensors compare by
 * identity, and so do the recorded calls.
 */
public final class RecordingKernels implements Kernels<HostTensor>, TensorAccess<HostTensor> {
  /** One call of a kernel, a record per kernel. */
  public sealed interface Call {}

  /** A call of {@link Kernels#statistics}. */
  public record Statistics(HostTensor x, Geometry geometry, Scope scope) implements Call {}

  /** A call of {@link Kernels#reference}. */
  public record Reference(
      HostTensor x,
      Normalization how,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta) implements Call {}

  /** A call of {@link Kernels#forward}. */
  public record Forward(
      HostTensor x,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output)
      implements Call {}

  /** A call of {@link Kernels#backward}. */
  public record Backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx)
      implements Call {}

  /** A call of {@link Kernels#doubleBackward}. */
  public record DoubleBackward(
      HostTensor x,
      HostTensor upstream,
      GradientUpstream<HostTensor> second,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma)
      implements Call {}

  /** A call of {@link Kernels#referenceGradient}. */
  public record IntoReference(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements)
      implements Call {}

  /** A call of {@link Kernels#sums}. */
  public record SumsOfGroups(
      HostTensor x, HostTensor upstream, Normalization how, Moments<HostTensor> reference)
      implements Call {}

  /** A call of {@link Kernels#write}. */
  public record Write(
      HostTensor x,
      @Nullable HostTensor upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable HostTensor output)
      implements Call {}

  /** What happens at a call, from its {@code from}th time on: a throw, or null for an answer. */
  private record Trouble(int from, @Nullable Throwable thrown) {}

  private final HostTensorAccess arrays = new HostTensorAccess();
  private final Set<Capability> capabilities;
  private final List<Call> calls = new ArrayList<>();
  private final List<HostTensor> made = new ArrayList<>();
  private final List<HostTensor> released = new ArrayList<>();
  private final Set<HostTensor> freed = Collections.newSetFromMap(new IdentityHashMap<>());
  private final Deque<Moments<HostTensor>> answers = new ArrayDeque<>();
  private final IdentityHashMap<HostTensor, DType> narrow = new IdentityHashMap<>();
  private final IdentityHashMap<HostTensor, MemoryRange> places = new IdentityHashMap<>();
  private final Map<String, Trouble> troubles = new HashMap<>();
  private final Map<String, Integer> counts = new HashMap<>();
  private int missingPart = -1;
  private boolean detached;
  private @Nullable GroupSums groupSums;
  private boolean faulty;
  private int closings;
  private @Nullable String description;

  /** With the given capabilities and no other. */
  public RecordingKernels(Capability... capabilities) {
    this.capabilities = Set.of(capabilities);
  }

  /** With every capability. */
  public static RecordingKernels capable() {
    return new RecordingKernels(Capability.values());
  }

  /** With every capability but {@code lacking}. */
  public static RecordingKernels without(Capability... lacking) {
    return new RecordingKernels(Arrays.stream(Capability.values())
        .filter(capability -> !List.of(lacking).contains(capability))
        .toArray(Capability[]::new));
  }

  /** With every capability, and throwing or giving what {@link Faults} say at the time of the call. */
  public static RecordingKernels faulty() {
    RecordingKernels kernels = capable();
    kernels.faulty = true;
    return kernels;
  }

  /** With every capability, and giving these sums whatever is asked for. */
  public static RecordingKernels giving(GroupSums sums) {
    RecordingKernels kernels = capable();
    kernels.groupSums = sums;
    return kernels;
  }

  /** A backend over these, of the name {@code recording}. */
  public VbnBackend<HostTensor> open() {
    return open("recording");
  }

  /** A backend over these, of the given name. */
  public VbnBackend<HostTensor> open(String name) {
    return VbnBackend.open(new ArrayProvider(name, 0) {
      @Override
      protected RecordingKernels kernels() {
        return RecordingKernels.this;
      }
    });
  }

  /** Lets these kernels say what computes. */
  public void describe(String device) {
    description = device;
  }

  /** Calls of kernels so far. */
  public List<Call> calls() {
    return List.copyOf(calls);
  }

  /** The only call of a kernel so far. */
  public Call onlyCall() {
    assertEquals(1, calls.size());
    return calls.get(0);
  }

  /** What {@link #fromHost} and the kernels have made. */
  public List<HostTensor> made() {
    return List.copyOf(made);
  }

  /** What was given to {@link #release}, in that order. */
  public List<HostTensor> released() {
    return List.copyOf(released);
  }

  /** Checks that all that was made was released, once each, but for {@code kept}; nothing else was. */
  public void assertReleasedAllBut(HostTensor... kept) {
    List<HostTensor> expected = made.stream()
        .filter(tensor -> !List.of(kept).contains(tensor))
        .collect(toCollection(ArrayList::new));
    for (HostTensor tensor : released) {
      assertTrue(expected.remove(tensor), () -> number(tensor) + " was released wrongly");
    }
    assertEquals(List.of(), expected.stream().map(this::number).toList(), "never released");
  }

  private String number(HostTensor tensor) {
    int index = made.indexOf(tensor);
    return index < 0 ? "a tensor of the caller's" : "tensor number " + (index + 1);
  }

  /** How often {@link #close} was called. */
  public int closings() {
    return closings;
  }

  /** Lays out the moments that the next statistics or reference call gives. */
  public void answer(HostTensor mean, HostTensor variance) {
    answers.add(new Moments<>(mean, variance));
  }

  /** A batch of zeros that these kernels take for one of type {@code dtype}. */
  public HostTensor batch(DType dtype, long... shape) {
    HostTensor tensor = HostTensor.zeros(dtype.hostType(), shape);
    narrow.put(tensor, dtype);
    return tensor;
  }

  /** Says where a tensor lies; null for a library that does not tell. */
  public void place(HostTensor tensor, @Nullable MemoryRange range) {
    places.put(tensor, range);
  }

  /** Lets a method throw from its {@code from}th call on, counted from 1. */
  public void fail(String method, int from, Throwable failure) {
    troubles.put(method, new Trouble(count(method) + from, failure));
  }

  /** Lets every method be without fault again. */
  public void heal() {
    troubles.clear();
  }

  /** Lets a method give null from now on. */
  public void giveNull(String method) {
    troubles.put(method, new Trouble(0, null));
  }

  /** Lets kernels leave out one tensor of their results, counted from 0 in the records' order. */
  public void leaveOut(int part) {
    missingPart = part;
  }

  /** Lets an attached backward give no reference gradient. */
  public void detachAnyway() {
    detached = true;
  }

  private int count(String method) {
    return counts.getOrDefault(method, 0);
  }

  /** Throws if the method is to fail; true if it is to give null. */
  private boolean givesNull(String method) {
    if (faulty && Faults.at(method)) {
      return true;
    }
    int count = counts.merge(method, 1, Integer::sum);
    Trouble trouble = troubles.get(method);
    if (trouble == null || count < trouble.from) {
      return false;
    }
    if (trouble.thrown != null) {
      throw Throwing.unchecked(trouble.thrown);
    }
    return true;
  }

  private void requireUnfreed(HostTensor tensor) {
    if (freed.contains(tensor)) {
      throw new IllegalStateException("tensor was freed");
    }
  }

  @Override
  public TensorAccess<HostTensor> tensors() {
    return givesNull("tensors") ? null : this;
  }

  @Override
  public Set<Capability> capabilities() {
    return givesNull("capabilities") ? null : capabilities;
  }

  @Override
  public @Nullable String description() {
    return givesNull("description") ? null : description;
  }

  @Override
  public long[] shape(HostTensor tensor) {
    if (givesNull("shape")) {
      return null;
    }
    requireUnfreed(tensor);
    return tensor.shape();
  }

  @Override
  public DType dtype(HostTensor tensor) {
    if (givesNull("dtype")) {
      return null;
    }
    requireUnfreed(tensor);
    return narrow.getOrDefault(tensor, tensor.dtype());
  }

  @Override
  public HostTensor fromHost(HostTensor host, DType dtype) {
    if (givesNull("fromHost")) {
      return null;
    }
    HostTensor tensor = keep(host.to(dtype));
    narrow.put(tensor, dtype);
    return tensor;
  }

  @Override
  public HostTensor toHost(HostTensor tensor) {
    if (givesNull("toHost")) {
      return null;
    }
    requireUnfreed(tensor);
    return tensor.to(tensor.dtype());
  }

  @Override
  public void release(HostTensor tensor) {
    released.add(tensor);
    freed.add(tensor);
    if (givesNull("release")) {
      throw new AssertionError("release gives nothing");
    }
  }

  @Override
  public @Nullable MemoryRange memory(HostTensor tensor) {
    if (givesNull("memory")) {
      return null;
    }
    return places.containsKey(tensor) ? places.get(tensor) : arrays.memory(tensor);
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry, Scope scope) {
    calls.add(new Statistics(x, geometry, scope));
    if (givesNull("statistics")) {
      return null;
    }
    long features = geometry.features();
    return scope == Scope.EXAMPLE ? moments(0, geometry.batch(), features) : moments(0, features);
  }

  @Override
  public Normalized<HostTensor> reference(
      HostTensor x, Normalization how, @Nullable HostTensor gamma, @Nullable HostTensor beta) {
    calls.add(new Reference(x, how, gamma, beta));
    if (givesNull("reference")) {
      return null;
    }
    return new Normalized<>(like(0, x), moments(1, how.geometry().features()));
  }

  @Override
  public HostTensor forward(
      HostTensor x,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    calls.add(new Forward(x, how, reference, gamma, beta, output));
    if (givesNull("forward")) {
      return null;
    }
    return output == null ? like(0, x) : output;
  }

  @Override
  public Differentiated<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx) {
    calls.add(new Backward(x, upstream, how, reference, gamma, dx));
    if (givesNull("backward")) {
      return null;
    }
    long features = how.geometry().features();
    DType parameterType = narrow.getOrDefault(x, x.dtype()).parameterType();
    return new Differentiated<>(
        dx == null ? like(0, x) : dx,
        make(1, parameterType, features),
        make(2, parameterType, features),
        how.referenceGradient() == ReferenceGradient.ATTACHED && !detached
            ? moments(3, features)
            : null);
  }

  @Override
  public TwiceDifferentiated<HostTensor> doubleBackward(
      HostTensor x,
      HostTensor upstream,
      GradientUpstream<HostTensor> second,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    calls.add(new DoubleBackward(x, upstream, second, how, reference, gamma));
    if (givesNull("doubleBackward")) {
      return null;
    }
    DType parameterType = narrow.getOrDefault(x, x.dtype()).parameterType();
    return new TwiceDifferentiated<>(
        like(0, x), like(1, x), make(2, parameterType, how.geometry().features()));
  }

  @Override
  public GroupSums sums(
      HostTensor x, HostTensor upstream, Normalization how, Moments<HostTensor> reference) {
    calls.add(new SumsOfGroups(x, upstream, how, reference));
    if (givesNull("sums")) {
      return null;
    }
    if (groupSums != null) {
      return groupSums;
    }
    int sums = (int) (how.groups() * how.geometry().features());
    return new GroupSums(new double[sums], new double[sums]);
  }

  @Override
  public HostTensor write(
      HostTensor x,
      @Nullable HostTensor upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable HostTensor output) {
    calls.add(new Write(x, upstream, geometry, scope, lines, output));
    if (givesNull("write")) {
      return null;
    }
    return output == null ? like(0, x) : output;
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    calls.add(new IntoReference(r, geometry, statistics, gradient, elements));
    return givesNull("referenceGradient") ? null : like(0, r);
  }

  @Override
  public void close() {
    closings++;
    if (givesNull("close")) {
      throw new AssertionError("close gives nothing");
    }
  }

  private Moments<HostTensor> moments(int part, long... shape) {
    if (!answers.isEmpty()) {
      Moments<HostTensor> answer = answers.remove();
      keep(answer.mean());
      keep(answer.variance());
      return answer;
    }
    DType type =
        capabilities.contains(Capability.FLOAT64_STATISTICS) ? DType.FLOAT64 : DType.FLOAT32;
    return new Moments<>(make(part, type, shape), make(part + 1, type, shape));
  }

  private HostTensor like(int part, HostTensor x) {
    HostTensor tensor = make(part, x.dtype(), x.shape());
    if (tensor != null && narrow.containsKey(x)) {
      narrow.put(tensor, narrow.get(x));
    }
    return tensor;
  }

  /** A tensor full of its own number among those made; null where the test leaves it out. */
  private HostTensor make(int part, DType dtype, long... shape) {
    if (part == missingPart) {
      return null;
    }
    HostTensor tensor = HostTensor.zeros(dtype, shape);
    int number = made.size() + 1;
    if (dtype == DType.FLOAT64) {
      Arrays.fill(tensor.doubles(), number);
    } else {
      Arrays.fill(tensor.floats(), number);
    }
    return keep(tensor);
  }

  private HostTensor keep(HostTensor tensor) {
    made.add(tensor);
    return tensor;
  }
}
