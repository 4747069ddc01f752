package dev.vbn.nd4j;

import dev.vbn.kernels.Elements;
import dev.vbn.spi.CountedPart;
import dev.vbn.spi.MaskedKernels;
import org.nd4j.linalg.api.ndarray.INDArray;

/** Copies between a masked batch and the dense one of what counts, in native memory. */
final class Nd4jCopies implements MaskedKernels.Copies<INDArray> {
  @Override
  public INDArray make(INDArray like, long... shape) {
    return Dense.empty(like.dataType(), shape);
  }

  @Override
  public void gather(INDArray batch, CountedPart part, INDArray dense) {
    try (Dense from = Dense.of(batch);
        Dense to = Dense.result(dense, dense.dataType(), dense.shape())) {
      Elements<?> input = from.elements();
      Elements<?> output = to.elements();
      double[] strip = new double[Elements.LONGEST_COPY];
      part.forEachRun(Elements.LONGEST_COPY, (inBatch, inDense, length) -> {
        input.read(inBatch, length, strip);
        output.write(inDense, length, strip);
      });
    }
  }

  @Override
  public void scatter(INDArray dense, CountedPart part, INDArray batch) {
    change(batch, output -> {
      clear(part, output);
      try (Dense from = Dense.of(dense)) {
        Elements<?> input = from.elements();
        double[] strip = new double[Elements.LONGEST_COPY];
        part.forEachRun(Elements.LONGEST_COPY, (inBatch, inDense, length) -> {
          input.read(inDense, length, strip);
          output.write(inBatch, length, strip);
        });
      }
    });
  }

  @Override
  public void clear(CountedPart part, INDArray batch) {
    change(batch, output -> clear(part, output));
  }

  private static void clear(CountedPart part, Elements<?> output) {
    double[] zeros = new double[Elements.LONGEST_COPY];
    for (long at = part.from(); at < part.to(); at += Elements.LONGEST_COPY) {
      output.write(at, (int) Math.min(Elements.LONGEST_COPY, part.to() - at), zeros);
    }
  }

  private interface Change {
    void of(Elements<?> elements);
  }

  /** Changes some elements; those of a view by way of a copy of all. */
  private static void change(INDArray batch, Change change) {
    try (Dense dense = Dense.of(batch)) {
      change.of(dense.elements());
      dense.copyTo(batch);
    }
  }
}
