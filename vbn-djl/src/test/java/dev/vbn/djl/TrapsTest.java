package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.GradientCollector;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What DJL on PyTorch does that would corrupt results or crash the JVM, and that this backend stays
 * clear of. Gradients that a garbage collection would spoil, or a conversion cut off, are in {@link
 * GraphGradients}; arrays left behind in {@link Leak}.
 */
class TrapsTest {
  @TempDir
  private Path folder;

  private EngineHere here;

  @BeforeEach
  void open() {
    here = EngineHere.open();
  }

  @AfterEach
  void close() {
    if (here != null) {
      here.close();
    }
  }

  private VirtualBatchNorm<NDArray> plain(Variant variant) {
    return VirtualBatchNorm.of(here.backend, VbnConfig.of(3).withVariant(variant));
  }

  private NDArray batch(long... shape) {
    return here.normal(here.manager, 1, 0, 1, DataType.FLOAT32, new Shape(shape));
  }

  /**
   * The engine differentiates once: its collector never asks for a gradient that has one itself. So a
   * penalty on a gradient goes by {@code doubleBackward}.
   */
  @Test
  void aGradientOfTheEngineIsPartOfNoGraph() {
    NDArray x = batch(2, 3);
    x.setRequiresGradient(true);
    try (GradientCollector collector = here.manager.getEngine().newGradientCollector()) {
      collector.backward(x.mul(x).mul(x).sum());
      NDArray penalty = x.getGradient().square().sum();
      assertThrows(EngineException.class, () -> collector.backward(penalty));
    }
  }

  /** Views of an array made by {@code create(float[])} point to Java memory that is gone then. */
  @Test
  void viewsOfOurArraysOutliveThem() {
    List<NDArray> views = new ArrayList<>();
    for (int i = 0; i < 200; i++) {
      float[] values = new float[1024];
      java.util.Arrays.fill(values, i);
      NDArray array = here.backend.fromHost(HostTensor.of(values, 1024), DType.FLOAT32);
      views.add(array.reshape(32, 32));
      array.close();
    }
    System.gc();
    for (int i = 0; i < 200; i++) {
      java.nio.ByteBuffer.allocateDirect(1 << 16).putLong(0, -1);
      assertEquals(i * 1024f, views.get(i).sum().getFloat(), "sum of view " + i);
    }
  }

  /** {@code mean} takes one axis, so that a naive kernel fails beyond rank 2. */
  @Test
  void everyRankHasStatistics() {
    for (long[] shape : new long[][] {{4, 3}, {2, 3, 2}, {2, 3, 2, 2}, {2, 3, 2, 1, 2}}) {
      NDArray x = batch(shape);
      double sum = 0;
      for (double value : plain(Variant.BATCH).referenceStatistics(x).moments().mean()) {
        sum += value;
      }
      assertEquals(x.mean().getFloat(), sum / 3, 1e-6, "mean over " + x.getShape());
    }
  }

  /** {@code toType(same, true)} gives the array itself, and {@code stopGradient} its memory. */
  @Test
  void resultsShareNoMemoryWithArguments() {
    VirtualBatchNorm<NDArray> layer = plain(Variant.REFERENCE_ONLY);
    for (DataType type : List.of(DataType.FLOAT32, DataType.FLOAT64)) {
      NDArray x = here.normal(here.manager, 1, 0, 1, type, new Shape(4, 3, 5));
      ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(x);
      double[] before = EngineHere.doubles(x);
      ReferenceMoments moments = statistics.moments();
      layer.forward(x, statistics).output().addi(7);
      HostTensor host = here.backend.toHost(x);
      if (type == DataType.FLOAT32) {
        host.floats()[0] = 7;
      } else {
        host.doubles()[0] = 7;
      }
      assertArrayEquals(before, EngineHere.doubles(x), "x of " + type);
      assertEquals(moments, statistics.moments());
    }
  }

  /** Why no engine gets BFLOAT16. Where this fails, DJL has learnt it, and the backend can have it. */
  @ParameterizedTest
  @ValueSource(strings = {"zeros", "toType", "create"})
  void bfloat16AbortsTheJvm(String way) throws Exception {
    Child child = Child.run(
        Bfloat16.class,
        System.getProperty("java.class.path"),
        List.of("-XX:ErrorFile=" + folder.resolve("error"), "-Dai.djl.offline=true"),
        way);
    String text = child.output();
    assertTrue(text.contains("before " + way), text);
    assertFalse(text.contains("after"), text);
    assertNotEquals(0, child.exit(), text);
  }

  /** Reading it aborts the JVM: the array must not come into being. */
  @Test
  void bfloat16IsRefusedBeforeTheEngineSeesIt() {
    HostTensor host = HostTensor.zeros(DType.FLOAT32, 2, 3);
    UnsupportedCapabilityException e = assertThrows(
        UnsupportedCapabilityException.class, () -> here.backend.fromHost(host, DType.BFLOAT16));
    assertEquals(Capability.BFLOAT16, e.capability());
  }

  @Test
  void integersAreRefused() {
    NDArray x = here.manager.create(new int[] {1, 2, 3}, new Shape(1, 3));
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> plain(Variant.BATCH).reference(x));
    assertTrue(e.getMessage().contains("int32"), e::getMessage);
  }

  /** Both engines in one JVM make MXNet the default: a named one must be the one that opens. */
  @Test
  void theNamedEngineIsOpened() {
    assertEquals("PyTorch", here.engine.getEngineName());
    NDArray array = here.backend.fromHost(HostTensor.zeros(DType.FLOAT32, 1), DType.FLOAT32);
    assertEquals("PyTorch", array.getManager().getEngine().getEngineName());
  }
}
