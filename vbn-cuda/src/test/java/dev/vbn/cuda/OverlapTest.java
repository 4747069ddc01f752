package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.function.Executable;

/**
 * What is written may be what is read, or apart from it: memory that overlaps otherwise is refused
 * before anything is written, with both ranges.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
class OverlapTest extends OnEmulator {
  private static final long[] SHAPE = {4, 2, 3};
  private static final int ROW = 2 * 3 * Float.BYTES;

  private VbnBackend<CudaTensor> backend;
  private CudaBackend cuda;
  private VirtualBatchNorm<CudaTensor> layer;
  private CudaTensor memory;
  private CudaTensor x;
  private CudaTensor upstream;
  private ReferenceStatistics<CudaTensor> statistics;

  @BeforeEach
  void open() {
    backend = VbnBackend.open(new CudaProvider());
    cuda = backend.unwrap(CudaBackend.class);
    layer = VirtualBatchNorm.of(backend, VbnConfig.of(2)).initialized(DType.FLOAT32, 1);
    float[] values = new float[100];
    for (int i = 0; i < values.length; i++) {
      values[i] = i * 7 % 11;
    }
    memory = backend.fromHost(HostTensor.of(values, values.length));
    x = at(0);
    upstream = at(40 * Float.BYTES);
    statistics = layer.referenceStatistics(upstream);
  }

  @AfterEach
  void close() {
    if (backend != null) {
      backend.close();
    }
  }

  private CudaTensor at(long bytes) {
    return cuda.wrap(memory.pointer() + bytes, DType.FLOAT32, SHAPE);
  }

  private void assertRefused(String first, String second, Executable call) {
    double[] before = backend.toHost(memory).toDoubles();
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
    String message = String.valueOf(e.getMessage());
    assertTrue(
        message.matches(first + " is at bytes 0x[0-9a-f]+ to 0x[0-9a-f]+ and overlaps " + second
            + " at bytes 0x[0-9a-f]+ to 0x[0-9a-f]+; expected .*"),
        message);
    assertArrayEquals(before, backend.toHost(memory).toDoubles(), "what was in the memory");
  }

  @Test
  void forwardIntoAShiftedBatchIsRefused() {
    for (long shift : new long[] {ROW, Float.BYTES}) {
      assertRefused("output", "x", () -> layer.forwardInto(at(shift), x, statistics));
      assertRefused("output", "x", () -> layer.forwardInto(x, at(shift), statistics));
    }
  }

  @Test
  void backwardIntoAShiftedBatchOrUpstreamIsRefused() {
    assertRefused("dx", "x", () -> layer.backwardInto(at(ROW), x, statistics, upstream));
    CudaTensor shifted = at(40 * Float.BYTES - ROW);
    assertRefused("dx", "upstream", () -> layer.backwardInto(shifted, x, statistics, upstream));
  }

  @Test
  void overParametersAndStatisticsNothingIsWritten() {
    CudaTensor gamma = cuda.wrap(memory.pointer() + 8, DType.FLOAT32, 2);
    CudaTensor beta = cuda.wrap(memory.pointer() + 16, DType.FLOAT32, 2);
    CudaTensor mean = cuda.wrap(memory.pointer() + 24, DType.FLOAT64, 2);
    CudaTensor variance = cuda.wrap(memory.pointer() + 40, DType.FLOAT64, 2);
    try (VirtualBatchNorm<CudaTensor> scaled =
            VirtualBatchNorm.of(backend, VbnConfig.of(2)).withGamma(gamma);
        VirtualBatchNorm<CudaTensor> centered =
            VirtualBatchNorm.of(backend, VbnConfig.of(2)).withBeta(beta);
        ReferenceStatistics<CudaTensor> ofMean =
            ReferenceStatistics.wrap(backend, mean, statistics.variance(), 4, 12);
        ReferenceStatistics<CudaTensor> ofVariance =
            ReferenceStatistics.wrap(backend, statistics.mean(), variance, 4, 12)) {
      assertRefused("output", "gamma", () -> scaled.forwardInto(x, upstream, statistics));
      assertRefused("output", "beta", () -> centered.forwardInto(x, upstream, statistics));
      assertRefused("output", "the reference mean", () -> layer.forwardInto(x, upstream, ofMean));
      assertRefused(
          "output", "the reference variance", () -> layer.forwardInto(x, upstream, ofVariance));
    }
  }

  @Test
  void inPlaceAndSideBySideGiveTheSame() {
    double[] expected;
    double[] expectedGradient;
    try (Output<CudaTensor> output = layer.forward(x, statistics);
        Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream)) {
      expected = backend.toHost(output.output()).toDoubles();
      expectedGradient = backend.toHost(gradients.dx()).toDoubles();
    }
    CudaTensor beside = at(4 * ROW); // begins where x ends
    CudaTensor dx = at(40 * Float.BYTES + 4 * ROW);
    layer.backwardInto(dx, x, statistics, upstream).close();
    assertArrayEquals(expectedGradient, backend.toHost(dx).toDoubles());
    layer.backwardInto(upstream, x, statistics, upstream).close();
    assertArrayEquals(expectedGradient, backend.toHost(upstream).toDoubles());
    layer.forwardInto(beside, x, statistics).close();
    assertArrayEquals(expected, backend.toHost(beside).toDoubles());
    layer.forwardInto(x, x, statistics).close();
    assertArrayEquals(expected, backend.toHost(x).toDoubles());
  }
}
