package dev.vbn.djl;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.vbn.kernels.Elements;
import dev.vbn.kernels.MemoryKernels;
import dev.vbn.kernels.MemoryKernels.Gradients;
import dev.vbn.kernels.MemoryKernels.Statistics;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import java.lang.invoke.MethodHandles;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * The kernels in plain Java on an engine's own memory, where it lies in this process and no graph is
 * recorded: an operation of the engine costs 2 us and more, before it computes anything.
 *
 * <p>That is PyTorch on the CPU, whose {@code toByteBuffer(true)} is the array's memory itself.
 */
final class EngineMemory {
  /** Whether there is a collector, of the engine that a class of arrays belongs to. */
  private static final ClassValue<AtomicBoolean> COLLECTING = new ClassValue<>() {
    @Override
    protected AtomicBoolean computeValue(Class<?> arrays) {
      return find(arrays.getClassLoader());
    }
  };

  private final MemoryKernels kernels;

  EngineMemory(MemoryKernels kernels) {
    this.kernels = kernels;
  }

  /** Whether a batch can be read there, and its results written. */
  static boolean holds(NDArray x) {
    DataType type = x.getDataType();
    return (type == DataType.FLOAT32 || type == DataType.FLOAT64)
        && x.size() <= Integer.MAX_VALUE / type.getNumOfBytes()
        && Device.Type.CPU.equals(x.getDevice().getDeviceType())
        && Workspace.PYTORCH.equals(x.getManager().getEngine().getEngineName());
  }

  /**
   * Whether an operation may be recorded: while there is a collector, on whatever thread. Neither
   * DJL nor its PyTorch engine can be asked, but the engine has a field that tells. The flag of a
   * thread, {@code JniUtils.isGradMode}, is true in threads without a collector too.
   */
  static boolean mayRecord(NDArray x) {
    return COLLECTING.get(x.getClass()).get();
  }

  /** Always true where it is not found, as in another version of the engine. */
  private static AtomicBoolean find(@Nullable ClassLoader ofEngine) {
    try {
      Class<?> collector =
          Class.forName("ai.djl.pytorch.engine.PtGradientCollector", true, ofEngine);
      return (AtomicBoolean) MethodHandles.privateLookupIn(collector, MethodHandles.lookup())
          .findStaticVarHandle(collector, "isCollecting", AtomicBoolean.class)
          .get();
    } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
      return new AtomicBoolean(true);
    }
  }

  static Elements<?> elements(NDArray array) {
    // An array that is not row-major and dense is copied.
    ByteBuffer bytes = array.toByteBuffer(true);
    return array.getDataType() == DataType.FLOAT64
        ? Elements.of(bytes.asDoubleBuffer())
        : Elements.of(bytes.asFloatBuffer());
  }

  private static @Nullable Elements<?> parameter(@Nullable NDArray array) {
    return array == null ? null : elements(array);
  }

  private static NDArray like(NDArray x) {
    return x.getManager().create(x.getShape(), x.getDataType());
  }

  Moments<NDArray> statistics(NDArray x, Geometry geometry, Scope scope) {
    Statistics statistics = kernels.statistics(elements(x), geometry, scope);
    fence(x);
    Shape shape = scope == Scope.EXAMPLE
        ? new Shape(geometry.batch(), geometry.features())
        : new Shape(geometry.features());
    return moments(x, statistics.mean(), statistics.variance(), shape);
  }

  private static Moments<NDArray> moments(
      NDArray x, double[] mean, double[] variance, Shape shape) {
    NDManager manager = x.getManager();
    return new Moments<>(
        Workspace.copyOf(manager, mean, shape, DataType.FLOAT64),
        Workspace.copyOf(manager, variance, shape, DataType.FLOAT64));
  }

  Normalized<NDArray> reference(
      NDArray x, Normalization how, @Nullable NDArray gamma, @Nullable NDArray beta) {
    NDArray output = like(x);
    Statistics statistics =
        kernels.reference(elements(x), how, parameter(gamma), parameter(beta), elements(output));
    fence(x, gamma, beta, output);
    Shape shape = new Shape(how.geometry().features());
    return new Normalized<>(output, moments(x, statistics.mean(), statistics.variance(), shape));
  }

  /** Keeps arrays alive: what their memory is read through does not. */
  @SuppressWarnings("ReachabilityFenceUsage") // the fence is what this is for
  static void fence(@Nullable NDArray... arrays) {
    for (NDArray array : arrays) {
      Reference.reachabilityFence(array);
    }
  }

  NDArray forward(
      NDArray x,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma,
      @Nullable NDArray beta) {
    NDArray output = like(x);
    kernels.forward(
        elements(x),
        how,
        elements(reference.mean()),
        elements(reference.variance()),
        parameter(gamma),
        parameter(beta),
        elements(output));
    fence(x, reference.mean(), reference.variance(), gamma, beta, output);
    return output;
  }

  Differentiated<NDArray> backward(
      NDArray x,
      NDArray upstream,
      Normalization how,
      Moments<NDArray> reference,
      @Nullable NDArray gamma) {
    NDArray dx = like(x);
    Gradients gradients = kernels.backward(
        elements(x),
        elements(upstream),
        how,
        elements(reference.mean()),
        elements(reference.variance()),
        parameter(gamma),
        elements(dx));
    fence(x, upstream, reference.mean(), reference.variance(), gamma, dx);
    NDManager manager = x.getManager();
    Shape shape = new Shape(how.geometry().features());
    double[] dmean = gradients.referenceMean();
    double[] dvariance = gradients.referenceVariance();
    return new Differentiated<>(
        dx,
        Workspace.copyOf(manager, gradients.gamma(), shape, x.getDataType()),
        Workspace.copyOf(manager, gradients.beta(), shape, x.getDataType()),
        dmean == null || dvariance == null ? null : moments(x, dmean, dvariance, shape));
  }

  NDArray referenceGradient(
      NDArray r,
      Geometry geometry,
      Moments<NDArray> statistics,
      Moments<NDArray> gradient,
      long elements) {
    NDArray dr = like(r);
    kernels.referenceGradient(
        elements(r),
        geometry,
        elements(statistics.mean()),
        elements(gradient.mean()),
        elements(gradient.variance()),
        elements,
        elements(dr));
    fence(r, statistics.mean(), gradient.mean(), gradient.variance(), dr);
    return dr;
  }

  GroupSums sums(NDArray x, NDArray upstream, Normalization how, Moments<NDArray> reference) {
    GroupSums sums = kernels.sums(
        elements(x),
        elements(upstream),
        how,
        elements(reference.mean()),
        elements(reference.variance()));
    fence(x, upstream, reference.mean(), reference.variance());
    return sums;
  }

  NDArray write(
      NDArray x, @Nullable NDArray upstream, Geometry geometry, Scope scope, GroupLines lines) {
    NDArray output = like(x);
    kernels.write(elements(x), parameter(upstream), geometry, scope, lines, elements(output));
    fence(x, upstream, output);
    return output;
  }

  void close() {
    kernels.close();
  }
}
