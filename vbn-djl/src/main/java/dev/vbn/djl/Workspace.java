package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The arrays of one kernel call. An operation's result belongs to its first operand's manager, so
 * whatever is computed from arrays that entered here belongs here, and closing frees all of it but
 * the results, which go to the manager of the input.
 *
 * <p>Operations that an engine cannot differentiate, or differentiates wrongly, are avoided here
 * once for all kernels: arithmetic with a {@code Number} (its memory is freed before the backward
 * pass reads it), {@code toType} and {@code duplicate} on PyTorch (they forget the graph), arrays over
 * Java memory, and in-place operations on what a graph may need. Whether an array is part of a graph
 * cannot be asked: {@code hasGradient} tells of leaves alone.
 */
final class Workspace implements AutoCloseable {
  /** Engine that records in-place operations, and forgets the graph on {@code toType}. */
  static final String PYTORCH = "PyTorch";

  private final NDManager caller;
  private final NDManager own;

  private final boolean pytorch;
  private final boolean forConstants;

  private @Nullable NDArray one;

  private Workspace(NDArray input, boolean forConstants) {
    caller = input.getManager();
    own = caller.newSubManager(input.getDevice());
    pytorch = PYTORCH.equals(caller.getEngine().getEngineName());
    this.forConstants = forConstants;
  }

  /** For a call that may be part of a graph. */
  static Workspace inGraph(NDArray input) {
    return new Workspace(input, false);
  }

  /** For a call that is part of no graph: whatever enters does so as a constant. */
  static Workspace ofConstants(NDArray input) {
    return new Workspace(input, true);
  }

  /** A caller's array in another shape, the array itself left alone. */
  NDArray enter(NDArray array, Shape shape) {
    return forConstants ? enterConstant(array, shape) : adopt(array.reshape(shape));
  }

  /** The same as a constant: no gradient flows back through it. */
  NDArray enterConstant(NDArray array, Shape shape) {
    return adopt(array.stopGradient()).reshape(shape);
  }

  private NDArray adopt(NDArray array) {
    array.attach(own);
    return array;
  }

  /** What the caller gets, and closes. */
  NDArray result(NDArray array) {
    array.attach(caller);
    return array;
  }

  NDArray constant(double value) {
    Shape scalar = new Shape(1);
    return (float) value == value
        ? own.full(scalar, (float) value, DataType.FLOAT64) // a third of the time
        : constant(new double[] {value}, scalar, DataType.FLOAT64);
  }

  /** Several of them for the price of one. */
  NDList constants(double... values) {
    return constant(values, new Shape(values.length), DataType.FLOAT64).split(values.length);
  }

  /** A value for each feature. */
  NDArray perFeature(double[] values, DataType type) {
    return constant(values, new Shape(values.length), type);
  }

  /** In memory of the engine, since a graph may hold on to it for longer than Java does. */
  NDArray constant(double[] values, Shape shape, DataType type) {
    return copyOf(own, values, shape, type);
  }

  /** An array in memory of the engine. */
  static NDArray copyOf(NDManager manager, double[] values, Shape shape, DataType type) {
    ByteBuffer memory = memory(values.length, type);
    if (type == DataType.FLOAT64) {
      memory.asDoubleBuffer().put(values);
    } else {
      FloatBuffer floats = memory.asFloatBuffer();
      for (double value : values) {
        floats.put((float) value);
      }
    }
    return copyOf(manager, memory, shape, type);
  }

  /** An array in memory of the engine. */
  static NDArray copyOf(NDManager manager, float[] values, Shape shape) {
    ByteBuffer memory = memory(values.length, DataType.FLOAT32);
    memory.asFloatBuffer().put(values);
    return copyOf(manager, memory, shape, DataType.FLOAT32);
  }

  /** An array in memory of the engine. */
  static NDArray copyOf(NDManager manager, long[] values) {
    ByteBuffer memory = memory(values.length, DataType.INT64);
    memory.asLongBuffer().put(values);
    return copyOf(manager, memory, new Shape(values.length), DataType.INT64);
  }

  private static ByteBuffer memory(int elements, DataType type) {
    return ByteBuffer.allocateDirect(elements * type.getNumOfBytes())
        .order(ByteOrder.nativeOrder());
  }

  /**
   * Keeps the memory alive until it is copied. DJL's {@code create} from an array or a heap buffer
   * gives MXNet the address of a direct buffer of its own that nothing refers to any more, so that
   * the collector may free it while MXNet reads.
   */
  private static NDArray copyOf(NDManager manager, ByteBuffer memory, Shape shape, DataType type) {
    try (NDArray view = manager.create(memory, shape, type)) {
      return view.duplicate();
    } finally {
      Reference.reachabilityFence(memory);
    }
  }

  NDArray wide(NDArray array) {
    return widen(array, DataType.FLOAT64);
  }

  /** In a wider type, by promotion, which keeps the graph. */
  NDArray widen(NDArray array, DataType type) {
    if (array.getDataType() == type) {
      return array;
    }
    return type == DataType.FLOAT64
        ? array.mul(one())
        : array.mul(constant(new double[] {1}, new Shape(1), type));
  }

  private NDArray one() {
    NDArray made = one;
    if (made == null) {
      made = constant(1);
      one = made;
    }
    return made;
  }

  /** In another type, in the graph. */
  NDArray cast(NDArray array, DataType type) {
    if (array.getDataType() == type) {
      return array;
    }
    return pytorch ? own.zeros(array.getShape(), type).addi(array) : array.toType(type, false);
  }

  /**
   * Whether the root of a sum of squares is one pass over {@code array}: without the temporary of
   * its size that costs more than all sums, both here and in the backward pass.
   */
  boolean hasFusedNorm(NDArray array) {
    return pytorch && array.getDataType() == DataType.FLOAT32;
  }

  /**
   * {@code slope * array + constant}, with a slope and a constant for each index of axis 1. On
   * PyTorch that is batch norm by the fixed statistics 0 and 1, which is one pass, and two backwards.
   */
  NDArray line(NDArray array, NDArray slope, NDArray constant) {
    if (!pytorch) {
      return array.mul(slope.reshape(1, -1, 1)).add(constant.reshape(1, -1, 1));
    }
    NDArray zeros = own.zeros(slope.getShape(), slope.getDataType());
    NDArray ones = own.ones(slope.getShape(), slope.getDataType());
    return array
        .getNDArrayInternal()
        .batchNorm(array, zeros, ones, slope, constant, 1, 0, 0, false)
        .singletonOrThrow();
  }

  /** The difference, in place of {@code array} if that is expendable and no graph can need it. */
  NDArray sub(NDArray array, boolean expendable, NDArray subtrahend) {
    return expendable && mayOverwrite() ? array.subi(subtrahend) : array.sub(subtrahend);
  }

  private boolean mayOverwrite() {
    return pytorch && forConstants;
  }

  /** The sum, likewise. */
  NDArray add(NDArray array, boolean expendable, NDArray summand) {
    return expendable && mayOverwrite() ? array.addi(summand) : array.add(summand);
  }

  /** The product, likewise. */
  NDArray mul(NDArray array, boolean expendable, NDArray factor) {
    return expendable && mayOverwrite() ? array.muli(factor) : array.mul(factor);
  }

  /** The sum, in place of {@code product}: the gradient of a product needs its factors alone. */
  NDArray addToProduct(NDArray product, NDArray summand) {
    return pytorch ? product.addi(summand) : product.add(summand);
  }

  @Override
  public void close() {
    own.close();
  }
}
