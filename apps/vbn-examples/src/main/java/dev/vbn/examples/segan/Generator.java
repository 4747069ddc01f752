package dev.vbn.examples.segan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.AbstractBlock;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.convolutional.Conv1d;
import ai.djl.training.ParameterStore;
import ai.djl.util.PairList;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Makes clean speech from noisy: three convolutions down, each to a quarter of the length, and
 * three up again, each of which also gets what the downward one of its length got.
 * {@code (N, 1, L)} to the same shape.
 *
 * <p>SEGAN has eleven of each, and a noise vector between them, which makes its answers differ. It
 * has no connection from its input to its last convolution; here one lets so small a network learn
 * in minutes.
 */
final class Generator extends AbstractBlock {
  static final int STRIDE = 4;

  private static final float SLOPE = 0.3f;

  private final List<Block> down = new ArrayList<>();
  private final List<Block> up = new ArrayList<>();
  private final Block last;

  Generator(int width) {
    for (int i = 0; i < 3; i++) {
      down.add(addChildBlock("down" + (i + 1), convolution(width << i, 31, STRIDE)));
    }
    for (int i = 0; i < 3; i++) {
      up.add(addChildBlock("up" + (i + 1), convolution(width << Math.max(1 - i, 0), 11, 1)));
    }
    last = addChildBlock("last", convolution(1, 11, 1));
  }

  static Block convolution(int filters, int kernel, int stride) {
    return Conv1d.builder()
        .setKernelShape(new Shape(kernel))
        .setFilters(filters)
        .optStride(new Shape(stride))
        .optPadding(new Shape(kernel / 2))
        .build();
  }

  @Override
  protected NDList forwardInternal(
      ParameterStore store,
      NDList inputs,
      boolean training,
      @Nullable PairList<String, Object> params) {
    NDArray x = inputs.singletonOrThrow();
    Deque<NDArray> lengths = new ArrayDeque<>();
    for (Block block : down) {
      lengths.push(x);
      x = active(block, store, x, training);
    }
    for (Block block : up) {
      x = active(block, store, lengthened(x).concat(lengths.pop(), 1), training);
    }
    return new NDList(
        Activation.tanh(last.forward(store, new NDList(x), training).singletonOrThrow()));
  }

  private static NDArray active(Block block, ParameterStore store, NDArray x, boolean training) {
    NDArray y = block.forward(store, new NDList(x), training).singletonOrThrow();
    return Activation.leakyRelu(y, SLOPE);
  }

  /** Each sample four times: less of a tone than a transposed convolution makes. */
  private static NDArray lengthened(NDArray x) {
    Shape shape = x.getShape();
    NDArray column = x.expandDims(3);
    NDArray twice = column.concat(column, 3);
    return twice.concat(twice, 3).reshape(shape.get(0), shape.get(1), STRIDE * shape.get(2));
  }

  @Override
  public Shape[] getOutputShapes(Shape[] inputShapes) {
    return inputShapes;
  }

  @Override
  protected void initializeChildBlocks(NDManager manager, DataType type, Shape... inputShapes) {
    Shape shape = inputShapes[0];
    Deque<Shape> lengths = new ArrayDeque<>();
    for (Block block : down) {
      lengths.push(shape);
      shape = initialized(block, manager, type, shape);
    }
    for (Block block : up) {
      Shape skipped = lengths.pop();
      shape = initialized(
          block,
          manager,
          type,
          new Shape(shape.get(0), shape.get(1) + skipped.get(1), skipped.get(2)));
    }
    initialized(last, manager, type, shape);
  }

  private static Shape initialized(Block block, NDManager manager, DataType type, Shape shape) {
    block.initialize(manager, type, shape);
    return block.getOutputShapes(new Shape[] {shape})[0];
  }
}
