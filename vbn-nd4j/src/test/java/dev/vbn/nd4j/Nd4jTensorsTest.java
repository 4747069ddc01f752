package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Making, reading and freeing arrays. */
class Nd4jTensorsTest {
  private VbnBackend<INDArray> backend;

  @BeforeEach
  void open() {
    VbnConformance.assumeDevice(new Nd4jProvider());
    backend = VbnBackend.open(new Nd4jProvider());
  }

  @AfterEach
  void close() {
    if (backend != null) {
      backend.close();
    }
  }

  private static void assertRefused(String reason, Executable use) {
    IllegalStateException e = assertThrows(IllegalStateException.class, use);
    assertTrue(String.valueOf(e.getMessage()).contains(reason), e::getMessage);
  }

  @Test
  void aFreedArrayIsNotRead() {
    INDArray array = Nd4j.rand(DataType.FLOAT, 4, 3, 5);
    INDArray view = array.get(NDArrayIndex.interval(1, 3));
    backend.release(array);
    for (INDArray freed : new INDArray[] {array, view}) {
      assertRefused("after close", () -> backend.shape(freed));
      assertRefused("after close", () -> backend.dtype(freed));
      assertRefused("after close", () -> backend.toHost(freed));
    }
  }

  /** What was freed is refused wherever it is read, and nothing is computed with it. */
  @Test
  void aFreedArrayIsNoArgument() {
    INDArray x = Nd4j.rand(DataType.FLOAT, 4, 3, 5);
    INDArray freed = Nd4j.rand(DataType.FLOAT, 4, 3, 5);
    freed.close();
    VirtualBatchNorm<INDArray> layer = VirtualBatchNorm.of(backend, VbnConfig.of(3));
    try (ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(x)) {
      assertRefused("after close", () -> layer.reference(freed));
      assertRefused("after close", () -> layer.forward(freed, statistics));
      assertRefused("after close", () -> layer.forwardInto(freed, x, statistics));
      assertRefused("after close", () -> layer.backward(x, statistics, freed));
      assertRefused("after close", () -> layer.backwardInto(freed, x, statistics, x));
    }
  }

  /** Its memory is the workspace's, which may have given it to another array. */
  @Test
  void anArrayOfAWorkspaceThatWasLeftIsNotRead() {
    INDArray array;
    try (MemoryWorkspace workspace = Nd4j.getWorkspaceManager().getAndActivateWorkspace("left")) {
      array = Nd4j.ones(DataType.FLOAT, 4, 3);
      assertEquals(1, backend.toHost(array).get(11), workspace.getId());
      try (MemoryWorkspace inner = Nd4j.getWorkspaceManager().getAndActivateWorkspace("inner")) {
        assertEquals(1, backend.toHost(array).get(11), inner.getId());
      }
    }
    assertRefused("workspace", () -> backend.toHost(array));
    try (MemoryWorkspace again = Nd4j.getWorkspaceManager().getAndActivateWorkspace("left")) {
      assertTrue(again.isScopeActive());
      assertRefused("workspace", () -> backend.shape(array));
    }
  }

  @Test
  void releaseIsHarmlessTwiceOnViewsOnAliasesAndAfterClose() {
    INDArray array = Nd4j.rand(DataType.FLOAT, 4, 3, 5);
    INDArray view = array.get(NDArrayIndex.interval(1, 3));
    INDArray alias = array.reshape(4, 15);
    double[] values = backend.toHost(array).toDoubles();
    backend.release(view);
    assertArrayEquals(values, backend.toHost(array).toDoubles());
    backend.release(array);
    backend.release(array);
    backend.release(view);
    backend.release(alias);
    INDArray late = Nd4j.rand(DataType.FLOAT, 2, 3);
    backend.close();
    backend.release(late);
    backend.release(late);
    assertTrue(late.wasClosed());
    backend.release(Nd4j.empty(DataType.FLOAT));
  }

  @Test
  void anArrayOutlivesTheBackendThatMadeIt() {
    INDArray made = backend.fromHost(HostTensor.of(new float[] {1, 2, 3}, 3));
    backend.close();
    assertFalse(made.wasClosed());
    assertEquals(3, made.getFloat(2));
    try (VbnBackend<INDArray> other = VbnBackend.open(new Nd4jProvider())) {
      assertArrayEquals(new float[] {1, 2, 3}, other.toHost(made).floats());
    }
  }

  @Test
  void scalarsAndEmptyTensorsKeepTheirShape() {
    for (HostTensor host :
        new HostTensor[] {HostTensor.of(new float[] {7}), HostTensor.zeros(DType.FLOAT64, 0, 3)}) {
      HostTensor back = backend.toHost(backend.fromHost(host));
      assertArrayEquals(host.shape(), back.shape());
      assertArrayEquals(host.toDoubles(), back.toDoubles());
    }
  }

  /** The least number of each type, there and back, in views, and through a forward. */
  @ParameterizedTest
  @EnumSource(DType.class)
  void subnormalNumbersAreKept(DType dtype) {
    double least = switch (dtype) {
      case FLOAT32 -> Float.MIN_VALUE;
      case FLOAT64 -> Double.MIN_VALUE;
      case FLOAT16 -> 0x1p-24;
      case BFLOAT16 -> 0x1p-133;
    };
    double[] values = new double[24];
    for (int i = 0; i < values.length; i++) {
      values[i] = (i - 12) * least;
    }
    INDArray x = backend.fromHost(HostTensor.of(values, 4, 3, 2), dtype);
    assertArrayEquals(values, backend.toHost(x).toDoubles());
    // Of mean 0 and variance 1 in all but epsilon.
    double[] ones = {1 - 0x1p-40, 1 - 0x1p-40, 1 - 0x1p-40};
    VirtualBatchNorm<INDArray> layer = VirtualBatchNorm.of(
        backend, VbnConfig.of(3).withVariant(Variant.REFERENCE_ONLY).withEpsilon(0x1p-40));
    try (ReferenceStatistics<INDArray> reference = ReferenceStatistics.wrap(
        backend,
        backend.fromHost(HostTensor.zeros(DType.FLOAT64, 3)),
        backend.fromHost(HostTensor.of(ones, 3)),
        4,
        8)) {
      assertArrayEquals(
          values, backend.toHost(layer.forward(x, reference).output()).toDoubles());
      for (INDArray view : Views.of(x)) {
        assertArrayEquals(values, backend.toHost(view).toDoubles(), "read");
        layer.forwardInto(view, x, reference);
        assertArrayEquals(values, backend.toHost(view).toDoubles(), "written");
      }
    }
  }
}
