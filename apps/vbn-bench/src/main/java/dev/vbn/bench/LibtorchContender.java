package dev.vbn.bench;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.training.GradientCollector;
import dev.vbn.Variant;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A forward pass on libtorch through DJL, and the same recorded in the graph and differentiated.
 * There is no backward pass alone: it uses up the graph.
 */
abstract class LibtorchContender implements Contender {
  private static final String PYTORCH = "PyTorch";

  private final String name;
  private final Kind kind;
  private final boolean stepOnly;

  LibtorchContender(String name, Kind kind, boolean stepOnly) {
    this.name = name;
    this.kind = kind;
    this.stepOnly = stepOnly;
  }

  /** A forward pass. All arrays are of 32 bits; what it returns belongs to x's manager. */
  interface Form extends AutoCloseable {

    /** Normalises x, a {@link #batch}; gamma and beta have shape {@code [C]}. */
    NDArray forward(NDArray x, NDArray gamma, NDArray beta);

    @Override
    default void close() {}
  }

  /** The forward pass for a workload, its constants in {@code manager}. */
  abstract Form form(Workload workload, NDManager manager);

  /** Whether it computes this variant, or something that serves the same purpose. */
  boolean computes(Variant variant) {
    return variant == Variant.LIVE_BATCH;
  }

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final Kind kind() {
    return kind;
  }

  @Override
  public Availability probe() {
    try {
      Engine engine = Engine.getEngine(PYTORCH);
      return Availability.available("libtorch " + engine.getVersion() + " through DJL "
          + Engine.getDjlVersion() + ", " + JniUtils.getNumThreads() + " threads");
    } catch (EngineException
        | IllegalArgumentException
        | IllegalStateException
        | UnsupportedOperationException
        | LinkageError e) {
      return Availability.unavailable("libtorch cannot be used here: " + e, e);
    }
  }

  @Override
  public final Optional<Prepared> prepare(Workload workload, Pass pass) {
    boolean has = pass == Pass.STEP || (pass == Pass.FORWARD && !stepOnly);
    boolean narrow = workload.x().dtype() == DType.FLOAT32;
    return has
            && narrow
            && workload.mask() == null
            && computes(workload.config().variant())
        ? Optional.of(new OnArrays(workload, pass))
        : Optional.empty();
  }

  /** An array in libtorch's own memory: one over Java memory is no array that users have. */
  static NDArray copyOf(HostTensor tensor, NDManager manager, long... shape) {
    FloatBuffer elements = FloatBuffer.wrap(tensor.floats());
    try (NDArray view =
        manager.create(elements, new ai.djl.ndarray.types.Shape(shape), DataType.FLOAT32)) {
      return view.duplicate();
    }
  }

  /** A batch, as {@code [rows, features, after]} where the form does not care. */
  NDArray batch(HostTensor batch, int featureAxis, NDManager manager) {
    Geometry geometry = Geometry.of(batch.shape(), featureAxis);
    long rows = geometry.batch() * geometry.before();
    return copyOf(batch, manager, rows, geometry.features(), geometry.after());
  }

  private final class OnArrays implements Prepared {
    private final Engine engine = Engine.getEngine(PYTORCH);
    private final NDManager manager = engine.newBaseManager();
    private final Pass pass;
    private final NDArray x;
    private final NDArray gamma;
    private final NDArray beta;
    private final NDArray upstream;
    private final Form form;

    OnArrays(Workload workload, Pass pass) {
      this.pass = pass;
      int axis = workload.config().featureAxis();
      x = batch(workload.x(), axis, manager);
      gamma = copyOf(workload.gamma(), manager, workload.gamma().size());
      beta = copyOf(workload.beta(), manager, workload.beta().size());
      upstream = pass == Pass.FORWARD ? x : batch(workload.upstream(), axis, manager);
      form = form(workload, manager);
    }

    @Override
    public Object run() {
      try (NDManager call = manager.newSubManager()) {
        return compute(call);
      }
    }

    @Override
    public List<HostTensor> results() {
      List<HostTensor> results = new ArrayList<>();
      try (NDManager call = manager.newSubManager()) {
        for (NDArray array : compute(call)) {
          results.add(HostTensor.of(array.toFloatArray(), array.getShape().getShape()));
        }
      }
      return results;
    }

    @SuppressWarnings("try") // the collector need only be there
    private List<NDArray> compute(NDManager call) {
      if (pass == Pass.FORWARD) {
        return List.of(form.forward(shared(x, call), gamma, beta));
      }
      try (GradientCollector collector = engine.newGradientCollector()) {
        NDArray xLeaf = leaf(x, call);
        NDArray gammaLeaf = leaf(gamma, call);
        NDArray betaLeaf = leaf(beta, call);
        NDArray y = form.forward(xLeaf, gammaLeaf, betaLeaf);
        // The collector's own backward knows only an upstream gradient of ones.
        JniUtils.backward((PtNDArray) y, (PtNDArray) upstream, false, false);
        return List.of(
            y,
            owned(xLeaf.getGradient(), call),
            owned(gammaLeaf.getGradient(), call),
            owned(betaLeaf.getGradient(), call));
      }
    }

    /** The same memory, in an array whose results belong to {@code call}. */
    private NDArray shared(NDArray array, NDManager call) {
      return owned(array.stopGradient(), call);
    }

    /** A new leaf in every call, because libtorch adds to the gradient of one that has any. */
    private NDArray leaf(NDArray array, NDManager call) {
      NDArray leaf = shared(array, call);
      leaf.setRequiresGradient(true);
      return leaf;
    }

    private NDArray owned(NDArray array, NDManager call) {
      array.attach(call);
      return array;
    }

    @Override
    public void close() {
      form.close();
      manager.close();
    }
  }
}
