package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Outputs in memory that is read: right, or refused before anything is written. */
class OverlapTest {
  private static final INDArrayIndex ALL = NDArrayIndex.all();

  private VbnBackend<INDArray> backend;
  private VirtualBatchNorm<INDArray> layer;
  private ReferenceStatistics<INDArray> reference;

  @BeforeEach
  void open() {
    VbnConformance.assumeDevice(new Nd4jProvider());
    backend = VbnBackend.open(new Nd4jProvider());
    layer = VirtualBatchNorm.of(backend, VbnConfig.of(3)).initialized(DType.FLOAT32, 1);
    reference = layer.referenceStatistics(Nd4j.rand(DataType.FLOAT, 7, 3, 5));
  }

  @AfterEach
  void close() {
    if (backend != null) {
      reference.close();
      layer.close();
      backend.close();
    }
  }

  private static INDArray rows(INDArray array, long from, long to) {
    return array.get(NDArrayIndex.interval(from, to), ALL, ALL);
  }

  private double[] doubles(INDArray array) {
    return backend.toHost(array).toDoubles();
  }

  private double[] output(INDArray x) {
    try (Output<INDArray> live = layer.forward(x.dup(), reference)) {
      return doubles(live.output());
    }
  }

  private double[] dx(INDArray x, INDArray upstream) {
    return doubles(layer.backward(x.dup(), reference, upstream.dup()).dx());
  }

  private void assertRefused(INDArray memory, String read, Executable call) {
    double[] before = doubles(memory);
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
    assertTrue(e.getMessage().contains("overlaps " + read), e::getMessage);
    assertArrayEquals(before, doubles(memory), "nothing is written");
  }

  @Test
  void aShiftByARowIsRefused() {
    INDArray memory = Nd4j.rand(DataType.FLOAT, 10, 3, 5);
    INDArray upstream = Nd4j.rand(DataType.FLOAT, 8, 3, 5);
    INDArray x = rows(memory, 1, 9);
    for (long shift : new long[] {0, 2}) {
      INDArray shifted = rows(memory, shift, shift + 8);
      assertRefused(memory, "x", () -> layer.forwardInto(shifted, x, reference));
      assertRefused(memory, "x", () -> layer.backwardInto(shifted, x, reference, upstream));
      assertRefused(memory, "upstream", () -> layer.backwardInto(shifted, upstream, reference, x));
    }
  }

  @Test
  void parametersAndStatisticsAreNotWrittenOver() {
    INDArray memory = Nd4j.rand(DataType.FLOAT, 8 * 15 + 2).addi(1);
    INDArray x = Nd4j.rand(DataType.FLOAT, 8, 3, 5);
    INDArray output = memory.get(NDArrayIndex.interval(0, 120)).reshape(8, 3, 5);
    VirtualBatchNorm<INDArray> own = VirtualBatchNorm.of(backend, VbnConfig.of(3))
        .withGamma(memory.get(NDArrayIndex.interval(119, 122)));
    assertRefused(memory, "gamma", () -> own.forwardInto(output, x, reference));
    assertRefused(memory, "gamma", () -> own.backwardInto(output, x, reference, x));
  }

  @Test
  void rowsNextToEachOtherAreApart() {
    INDArray memory = Nd4j.rand(DataType.FLOAT, 16, 3, 5);
    INDArray x = rows(memory, 0, 8);
    INDArray output = rows(memory, 8, 16);
    double[] expected = output(x);
    layer.forwardInto(output, x, reference);
    assertArrayEquals(expected, doubles(output));
  }

  /** Features of a wider array, as where blocks write into one concatenation: apart, though interleaved. */
  @Test
  void sidesOfOneArrayAreApart() {
    INDArray memory = Nd4j.rand(DataType.FLOAT, 8, 6, 5);
    INDArray x = memory.get(ALL, NDArrayIndex.interval(0, 3), ALL);
    INDArray output = memory.get(ALL, NDArrayIndex.interval(3, 6), ALL);
    double[] expected = output(x);
    double[] before = doubles(x);
    layer.forwardInto(output, x, reference);
    assertArrayEquals(expected, doubles(output));
    assertArrayEquals(before, doubles(x));
  }

  /** Views of one array that share elements, shifted along rows and along columns. */
  @Test
  void viewsThatOverlapAreRefused() {
    for (long shift : new long[] {0, 1, 2}) {
      INDArray memory = Nd4j.rand(DataType.FLOAT, 9, 3, 7);
      INDArray x = memory.get(NDArrayIndex.interval(0, 8), ALL, NDArrayIndex.interval(1, 6));
      INDArray output =
          memory.get(NDArrayIndex.interval(1, 9), ALL, NDArrayIndex.interval(shift, shift + 5));
      INDArray apart = Nd4j.rand(DataType.FLOAT, 8, 3, 5);
      assertRefused(memory, "x", () -> layer.forwardInto(output, x, reference));
      assertRefused(memory, "x", () -> layer.backwardInto(output, x, reference, apart));
      assertRefused(memory, "upstream", () -> layer.backwardInto(output, apart, reference, x));
    }
  }

  /** Every second column of one array, next to each other. */
  @Test
  void viewsThatInterleaveAreRight() {
    INDArray memory = Nd4j.rand(DataType.FLOAT, 8, 3, 10);
    INDArray x = memory.get(ALL, ALL, NDArrayIndex.interval(0, 2, 10));
    INDArray output = memory.get(ALL, ALL, NDArrayIndex.interval(1, 2, 10));
    double[] before = doubles(x);
    double[] expected = output(x);
    layer.forwardInto(output, x, reference);
    assertArrayEquals(expected, doubles(output));
    double[] gradient = dx(x, x);
    layer.backwardInto(output, x, reference, x);
    assertArrayEquals(gradient, doubles(output));
    assertArrayEquals(before, doubles(x));
  }

  /** A dense array, and the same memory seen with its axes turned. */
  @Test
  void aTurnedViewOfADenseArrayIsRefused() {
    VirtualBatchNorm<INDArray> square = VirtualBatchNorm.of(backend, VbnConfig.of(4));
    INDArray x = Nd4j.rand(DataType.FLOAT, 4, 4);
    try (ReferenceStatistics<INDArray> own = square.referenceStatistics(x)) {
      assertRefused(x, "x", () -> square.forwardInto(x.transpose(), x, own));
    }
  }

  /** In place, in dense arrays and in views. */
  @Test
  void equalMemoryIsRight() {
    INDArray plain = Nd4j.rand(DataType.FLOAT, 8, 3, 5);
    INDArray upstream = Nd4j.rand(DataType.FLOAT, 8, 3, 5);
    List<INDArray> views = new java.util.ArrayList<>(Views.of(plain));
    views.add(plain.dup());
    for (INDArray x : views) {
      double[] expected = output(x);
      double[] expectedDx = dx(x, upstream);
      INDArray dy = x.dup(x.ordering()).assign(upstream);
      layer.backwardInto(dy, x, reference, dy);
      assertArrayEquals(expectedDx, doubles(dy), "in upstream");
      INDArray kept = x.dup();
      layer.backwardInto(x, x, reference, upstream);
      assertArrayEquals(expectedDx, doubles(x), "in x");
      x.assign(kept);
      layer.forwardInto(x, x, reference);
      assertArrayEquals(expected, doubles(x), "forward");
    }
  }

  /** Another look at the same memory, whose axis of length 1 has another stride. */
  @Test
  void equalMemoryIsRightWhateverTheStrideOfAnAxisOfLengthOne() {
    INDArray x = Nd4j.rand(DataType.FLOAT, 8, 3, 1);
    INDArray same = x.reshape(8, 3).reshape(8, 3, 1);
    INDArray turned = x.permute(0, 2, 1).permute(0, 2, 1);
    double[] expected = output(x);
    double[] twice =
        output(Nd4j.createFromArray(expected).castTo(DataType.FLOAT).reshape(8, 3, 1));
    layer.forwardInto(same, x, reference);
    assertArrayEquals(expected, doubles(x));
    layer.forwardInto(turned, x, reference);
    assertArrayEquals(twice, doubles(x));
  }
}
