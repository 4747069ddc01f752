package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.MemoryRange;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** A supplied tensor may be an input itself, but is not to overlap what is read in any other way. */
final class OverlapTest {
  private static final long[] ROW_MAJOR = {12, 4};

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor x = batchAt(0x1000, ROW_MAJOR);
  private final HostTensor upstream = batchAt(0x2000, ROW_MAJOR);
  private final HostTensor gamma = parameterAt(DType.FLOAT32, 0x3000);
  private final HostTensor beta = parameterAt(DType.FLOAT32, 0x4000);
  private final HostTensor mean = parameterAt(DType.FLOAT64, 0x5000);
  private final HostTensor variance = parameterAt(DType.FLOAT64, 0x6000);
  private final VirtualBatchNorm<HostTensor> layer =
      VirtualBatchNorm.of(backend, VbnConfig.of(3)).withGamma(gamma).withBeta(beta);
  private final ReferenceStatistics<HostTensor> reference =
      ReferenceStatistics.wrap(backend, mean, variance, 2, 2);

  /** Six floats, which are 0x18 bytes. */
  private HostTensor batchAt(long start, long... strides) {
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, 2, 3);
    kernels.place(tensor, MemoryRange.of("the device", start, 4, tensor.shape(), strides));
    return tensor;
  }

  private HostTensor parameterAt(DType dtype, long start) {
    HostTensor tensor = HostTensor.zeros(dtype, 3);
    int width = dtype == DType.FLOAT64 ? 8 : 4;
    kernels.place(tensor, MemoryRange.dense("the device", start, width, 3));
    return tensor;
  }

  private void assertOutputRefused(HostTensor output, String... words) {
    assertOverlap(() -> layer.forwardInto(output, x, reference), "output is at bytes", words);
  }

  private void assertDxRefused(HostTensor dx, String... words) {
    assertOverlap(() -> layer.backwardInto(dx, x, reference, upstream), "dx is at bytes", words);
  }

  private void assertOverlap(Executable call, String start, String... words) {
    var refusal = assertRefused(IllegalArgumentException.class, call, words);
    assertEquals(start, refusal.getMessage().substring(0, start.length()));
    assertEquals(List.of(), kernels.calls());
  }

  private void assertTaken(HostTensor tensor) {
    try (var output = layer.forwardInto(tensor, x, reference);
        var gradients = layer.backwardInto(tensor, x, reference, upstream)) {
      assertSame(tensor, output.output());
      assertSame(tensor, gradients.dx());
    }
    assertEquals(2, kernels.calls().size());
  }

  @Test
  void memoryThatTouchesWhatIsReadIsTaken() {
    assertTaken(batchAt(0x1018, ROW_MAJOR));
  }

  @Test
  void memoryRightBeforeWhatIsReadIsTaken() {
    assertTaken(batchAt(0xfe8, ROW_MAJOR));
  }

  @Test
  void anotherTensorOverTheWholeOfXIsTaken() {
    assertTaken(batchAt(0x1000, ROW_MAJOR));
  }

  @Test
  void anotherTensorOverTheWholeOfTheUpstreamGradientIsTakenForDx() {
    HostTensor same = batchAt(0x2000, ROW_MAJOR);
    try (var gradients = layer.backwardInto(same, x, reference, upstream)) {
      assertSame(same, gradients.dx());
    }
  }

  @Test
  void aPartOfXIsRefusedAndBothRangesAreNamed() {
    HostTensor part = batchAt(0x1004, ROW_MAJOR);
    String[] words = {
      "bytes 0x1004 to 0x101c",
      "overlaps x at bytes 0x1000 to 0x1018",
      "expected the same elements in the same order, or memory apart"
    };
    assertOutputRefused(part, words);
    assertDxRefused(part, words);
  }

  @Test
  void theSameBytesInAnotherOrderAreRefused() {
    HostTensor transposed = batchAt(0x1000, 4, 8);
    assertOutputRefused(transposed, "overlaps x", "expected the same elements in the same order");
    assertDxRefused(transposed, "overlaps x", "expected the same elements in the same order");
  }

  @Test
  void aPartOfTheUpstreamGradientIsRefused() {
    assertDxRefused(
        batchAt(0x1fec, ROW_MAJOR),
        "bytes 0x1fec to 0x2004",
        "overlaps upstream at bytes 0x2000 to 0x2018");
  }

  @Test
  void parametersAndStatisticsAreRefusedHoweverTheyOverlap() {
    for (long offset : new long[] {-4, 0, 4}) {
      assertOutputRefused(batchAt(0x3000 + offset, ROW_MAJOR), "overlaps gamma", "memory apart");
      assertOutputRefused(batchAt(0x4000 + offset, ROW_MAJOR), "overlaps beta", "memory apart");
      assertOutputRefused(
          batchAt(0x5000 + offset, ROW_MAJOR), "overlaps the reference mean", "memory apart");
      assertOutputRefused(
          batchAt(0x6000 + offset, ROW_MAJOR), "overlaps the reference variance", "memory apart");
      assertDxRefused(batchAt(0x3000 + offset, ROW_MAJOR), "overlaps gamma", "memory apart");
      assertDxRefused(
          batchAt(0x5000 + offset, ROW_MAJOR), "overlaps the reference mean", "memory apart");
      assertDxRefused(
          batchAt(0x6000 + offset, ROW_MAJOR), "overlaps the reference variance", "memory apart");
    }
  }

  @Test
  void statisticsOverTheSameMemoryAsTheOutputAreRefusedAlsoWhereTheyAreTheSame() {
    HostTensor output = batchAt(0x5000, ROW_MAJOR);
    kernels.place(mean, MemoryRange.dense("the device", 0x5000, 4, 6));
    assertOutputRefused(output, "overlaps the reference mean");
  }

  @Test
  void betaIsNotReadByABackward() {
    HostTensor overBeta = batchAt(0x4000, ROW_MAJOR);
    try (var gradients = layer.backwardInto(overBeta, x, reference, upstream)) {
      assertSame(overBeta, gradients.dx());
    }
  }

  /** As the features of a wider array: its other half lies between the rows. */
  @Test
  void memoryBetweenTheRowsOfXIsTaken() {
    HostTensor wide = batchAt(0x1000, 24, 4);
    HostTensor between = batchAt(0x100c, 24, 4);
    try (var output = layer.forwardInto(between, wide, reference);
        var gradients = layer.backwardInto(between, wide, reference, wide)) {
      assertSame(between, output.output());
      assertSame(between, gradients.dx());
    }
  }

  @Test
  void memoryThatLiesAcrossTheRowsOfXIsRefused() {
    HostTensor wide = batchAt(0x1000, 24, 4);
    assertOverlap(
        () -> layer.forwardInto(batchAt(0x1008, 24, 4), wide, reference),
        "output is at bytes",
        "bytes 0x1008 to 0x102c",
        "overlaps x at bytes 0x1000 to 0x1024");
  }

  @Test
  void otherMemoryIsApart() {
    HostTensor elsewhere = HostTensor.zeros(DType.FLOAT32, 2, 3);
    kernels.place(elsewhere, MemoryRange.dense("the host", 0x1004, 4, 6));
    assertTaken(elsewhere);
  }

  @Test
  void aLibraryThatDoesNotTellIsBelieved() {
    HostTensor output = HostTensor.zeros(DType.FLOAT32, 2, 3);
    kernels.place(output, null);
    assertTaken(output);

    kernels.place(x, null);
    layer.forwardInto(batchAt(0x1004, ROW_MAJOR), x, reference).close();
    assertEquals(3, kernels.calls().size());
  }

  @Test
  void arraysAreToldApartByThemselves() {
    float[] array = new float[6];
    HostTensor whole = HostTensor.of(array, 2, 3);
    HostTensor again = HostTensor.of(array, 2, 3);
    try (var output = layer.forwardInto(again, whole, reference)) {
      assertSame(again, output.output());
    }
    double[] values = new double[6];
    HostTensor six = HostTensor.of(values, 6);
    var wide = VirtualBatchNorm.of(backend, VbnConfig.of(6));
    var overOutput = ReferenceStatistics.wrap(backend, six, six, 1, 1);
    HostTensor batch = HostTensor.of(values, 1, 6);
    assertRefused(
        IllegalArgumentException.class,
        () -> wide.forwardInto(batch, batch, overOutput),
        "output is at bytes 0x0 to 0x30",
        "overlaps the reference mean at bytes 0x0 to 0x30",
        "expected memory apart");
  }
}
