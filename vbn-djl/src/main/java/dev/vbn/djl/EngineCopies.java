package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import dev.vbn.kernels.Elements;
import dev.vbn.spi.CountedPart;
import dev.vbn.spi.MaskedKernels;

/** Copies between a masked batch and the dense one of what counts, on an engine's own memory. */
final class EngineCopies implements MaskedKernels.Copies<NDArray> {
  @Override
  public NDArray make(NDArray like, long... shape) {
    return like.getManager().create(new Shape(shape), like.getDataType());
  }

  @Override
  public void gather(NDArray batch, CountedPart part, NDArray dense) {
    Elements<?> from = EngineMemory.elements(batch);
    Elements<?> to = EngineMemory.elements(dense);
    double[] strip = new double[Elements.LONGEST_COPY];
    part.forEachRun(Elements.LONGEST_COPY, (inBatch, inDense, length) -> {
      from.read(inBatch, length, strip);
      to.write(inDense, length, strip);
    });
    EngineMemory.fence(batch, dense);
  }

  @Override
  public void scatter(NDArray dense, CountedPart part, NDArray batch) {
    clear(part, batch);
    Elements<?> from = EngineMemory.elements(dense);
    Elements<?> to = EngineMemory.elements(batch);
    double[] strip = new double[Elements.LONGEST_COPY];
    part.forEachRun(Elements.LONGEST_COPY, (inBatch, inDense, length) -> {
      from.read(inDense, length, strip);
      to.write(inBatch, length, strip);
    });
    EngineMemory.fence(dense, batch);
  }

  @Override
  public void clear(CountedPart part, NDArray batch) {
    Elements<?> to = EngineMemory.elements(batch);
    double[] zeros = new double[Elements.LONGEST_COPY];
    for (long at = part.from(); at < part.to(); at += Elements.LONGEST_COPY) {
      to.write(at, (int) Math.min(Elements.LONGEST_COPY, part.to() - at), zeros);
    }
    EngineMemory.fence(batch);
  }
}
