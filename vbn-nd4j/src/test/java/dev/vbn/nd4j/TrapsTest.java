package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** What ND4J does that would corrupt results, and that this backend stays clear of. */
class TrapsTest {
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

  private VirtualBatchNorm<INDArray> plain(int features, Variant variant) {
    return VirtualBatchNorm.of(backend, VbnConfig.of(features).withVariant(variant));
  }

  private INDArray batch(long seed, long... shape) {
    Random random = new Random(seed);
    float[] values = new float[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return backend.fromHost(HostTensor.of(values, shape), DType.FLOAT32);
  }

  /** {@code mean()} adds up in the array's own width: of 2^26 floats that are 1 it is 0.5. */
  @ParameterizedTest
  @CsvSource({"FLOAT,67108864", "HALF,131072", "BFLOAT16,131072"})
  void theMeanOfManyOnesIsOne(DataType type, long count) {
    INDArray ones = Nd4j.ones(type, 1, 1, count);
    try (ReferenceStatistics<INDArray> statistics =
        plain(1, Variant.BATCH).referenceStatistics(ones)) {
      assertEquals(1, statistics.moments().mean()[0]);
      assertEquals(0, statistics.moments().variance()[0]);
    }
    ones.close();
  }

  /** Arrays made in a workspace die with it, and take room in it. */
  @Test
  void resultsOutliveTheWorkspaceOfTheCallerAndTakeNoRoomInIt() {
    VirtualBatchNorm<INDArray> layer = plain(3, Variant.PER_EXAMPLE);
    INDArray kept = batch(1, 4, 3, 5);
    Output<INDArray> expected;
    double[] expectedGradient;
    try (ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(kept)) {
      expected = layer.forward(kept, statistics);
      expectedGradient = doubles(layer.backward(kept, statistics, kept).dx());
    }
    Output<INDArray> live;
    Gradients<INDArray> gradients;
    try (MemoryWorkspace workspace = Nd4j.getWorkspaceManager().getAndActivateWorkspace("test")) {
      INDArray x = kept.dup('f');
      assertTrue(x.isAttached(), "the caller's array is in the workspace");
      long offset = workspace.getPrimaryOffset();
      try (ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(x)) {
        live = layer.forward(x, statistics);
        gradients = layer.backward(x, statistics, x);
      }
      assertEquals(offset, workspace.getPrimaryOffset(), "memory taken from the workspace");
      assertTrue(x.isAttached(), "the caller's array stays in the workspace");
    }
    try (MemoryWorkspace again = Nd4j.getWorkspaceManager().getAndActivateWorkspace("test")) {
      assertTrue(Nd4j.ones(DataType.FLOAT, 1000).isAttached(), "written over: " + again.getId());
    }
    assertFalse(live.output().isAttached());
    assertArrayEquals(doubles(expected.output()), doubles(live.output()));
    assertArrayEquals(expectedGradient, doubles(gradients.dx()));
  }

  /** {@code castTo(same)} and {@code reshape} give the same memory, {@code equals} tolerates 1e-5. */
  @Test
  void resultsShareNoMemoryWithArguments() {
    VirtualBatchNorm<INDArray> layer = plain(3, Variant.REFERENCE_ONLY);
    for (INDArray x : List.of(batch(2, 4, 3, 5), batch(2, 4, 3, 5).castTo(DataType.DOUBLE))) {
      double[] before = doubles(x);
      try (ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(x)) {
        double[] mean = statistics.moments().mean();
        Output<INDArray> live = layer.forward(x, statistics);
        live.output().addi(7);
        assertArrayEquals(before, doubles(x), "x");
        assertArrayEquals(mean, statistics.moments().mean(), "reference mean");
      }
      assertFalse(x.wasClosed());
    }
  }

  /** A result in 'f' order would be read wrongly by whoever takes its memory as it lies. */
  @Test
  void resultsAreRowMajorWhateverTheInput() {
    VirtualBatchNorm<INDArray> layer = plain(3, Variant.BATCH);
    INDArray x = batch(3, 4, 3, 5).dup('f');
    assertEquals('c', layer.reference(x).output().ordering());
  }

  /** What comes back in a strided output goes where its elements are, and nowhere else. */
  @Test
  void aSuppliedViewIsFilledAndItsSurroundingsAreNot() {
    VirtualBatchNorm<INDArray> layer = plain(3, Variant.BATCH);
    INDArray x = batch(4, 4, 3, 5);
    for (INDArray output : Views.of(x)) {
      try (ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(x)) {
        double[] expected = doubles(layer.forward(x, statistics).output());
        assertArrayEquals(
            expected, doubles(layer.forwardInto(output, x, statistics).output()));
        double[] expectedDx = doubles(layer.backward(x, statistics, x).dx());
        assertArrayEquals(
            expectedDx, doubles(layer.backwardInto(output, x, statistics, x).dx()));
        assertArrayEquals(expectedDx, doubles(output));
      }
    }
  }

  /**
   * A vector of one value per feature broadcasts along the last axis, and of two types the first
   * operand's is the result's: here both axes are as long, and statistics have 64 bits.
   */
  @Test
  void valuesOfAFeatureMeetThatFeatureWhereTheLastAxisIsAsLong() {
    INDArray gamma = Nd4j.createFromArray(1f, 10f, 100f);
    INDArray beta = Nd4j.createFromArray(-1f, 0f, 1f);
    VbnConfig config = VbnConfig.of(3).withVariant(Variant.REFERENCE_ONLY);
    VirtualBatchNorm<INDArray> layer =
        VirtualBatchNorm.of(backend, config).withGamma(gamma).withBeta(beta);
    INDArray x = batch(5, 2, 3, 3);
    try (ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(batch(6, 4, 3, 3))) {
      Output<INDArray> live = layer.forward(x, statistics);
      assertEquals(DataType.FLOAT, live.output().dataType());
      assertEquals(DataType.DOUBLE, statistics.mean().dataType());
      double[] mean = statistics.moments().mean();
      double[] variance = statistics.moments().variance();
      for (long example = 0; example < 2; example++) {
        for (int feature = 0; feature < 3; feature++) {
          double deviation = Math.sqrt(variance[feature] + config.epsilon());
          for (long position = 0; position < 3; position++) {
            double normalized =
                (x.getDouble(example, feature, position) - mean[feature]) / deviation;
            double expected = gamma.getDouble(feature) * normalized + beta.getDouble(feature);
            double actual = live.output().getDouble(example, feature, position);
            assertEquals(expected, actual, 1e-6 * gamma.getDouble(feature));
          }
        }
      }
    }
  }

  /** Operations on empty arrays throw whatever comes first; here it is said what is wrong. */
  @Test
  void emptyArraysAreRefused() {
    INDArray x = Nd4j.create(DataType.FLOAT, 0, 3);
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class, () -> plain(3, Variant.BATCH).reference(x));
    assertTrue(e.getMessage().contains("[0, 3]"), e::getMessage);
    assertArrayEquals(new long[] {0, 3}, backend.toHost(x).shape());
  }

  @Test
  void integersAreRefused() {
    INDArray x = Nd4j.zeros(DataType.INT32, 2, 3);
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class, () -> plain(3, Variant.BATCH).reference(x));
    assertTrue(e.getMessage().contains("INT"), e::getMessage);
  }

  /** Both conversions against ND4J's own, for every number of 16 bits. */
  @Test
  void halvesAreReadAndWrittenAsTheyAre() {
    float[] all = new float[1 << 16];
    for (int i = 0; i < all.length; i++) {
      all[i] = HalfBits.fromHalf((short) i);
      float value = all[i];
      if (!Float.isNaN(value)) {
        assertEquals((short) i, HalfBits.toHalf(value), "half " + i);
        assertEquals(value, (float) DType.FLOAT16.round(value), "half " + i);
      }
      float brain = HalfBits.fromBfloat16((short) i);
      if (!Float.isNaN(brain)) {
        assertEquals((short) i, HalfBits.toBfloat16(brain), "bfloat16 " + i);
      }
    }
    Random random = new Random(5);
    for (int i = 0; i < 100_000; i++) {
      float value = (float) (random.nextGaussian() * Math.scalb(1.0, random.nextInt(45) - 28));
      assertEquals((float) DType.FLOAT16.round(value), HalfBits.fromHalf(HalfBits.toHalf(value)));
      assertEquals(
          (float) DType.BFLOAT16.round(value), HalfBits.fromBfloat16(HalfBits.toBfloat16(value)));
    }
  }

  private double[] doubles(INDArray array) {
    return backend.toHost(array).toDoubles();
  }
}
