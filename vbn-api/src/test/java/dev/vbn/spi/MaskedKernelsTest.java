package dev.vbn.spi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import dev.vbn.testing.RecordingKernels;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What kernels that know no masks are asked for, and what becomes of the tensors on the way. */
final class MaskedKernelsTest {
  private static final float NAN = Float.NaN;
  private static final long[] SHAPE = {3, 2, 3};

  /** Of three examples the second is none, and of the others two positions and one count. */
  private static final Geometry MASKED = Geometry.of(SHAPE, 1, Mask.lengths(2, 0, 1));

  private final RecordingKernels plain = RecordingKernels.without(Capability.MASK);
  private final MaskedKernels<HostTensor> kernels = new MaskedKernels<>(plain, new Copies());
  private final HostTensor x = HostTensor.of(
      new float[] {1, 2, NAN, 3, 4, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 5, NAN, NAN, 6, NAN, NAN},
      SHAPE);
  private final Moments<HostTensor> reference =
      new Moments<>(HostTensor.zeros(DType.FLOAT64, 2), HostTensor.zeros(DType.FLOAT64, 2));

  /** Of tensors that the recording kernels know, in pieces of two elements at most. */
  private final class Copies implements MaskedKernels.Copies<HostTensor> {
    @Override
    public HostTensor make(HostTensor like, long... shape) {
      return plain.fromHost(HostTensor.zeros(like.dtype(), shape), like.dtype());
    }

    @Override
    public void gather(HostTensor batch, CountedPart part, HostTensor dense) {
      part.forEachRun(2, (inBatch, inDense, length) -> {
        assertTrue(length >= 1 && length <= 2, "length " + length);
        System.arraycopy(batch.floats(), (int) inBatch, dense.floats(), (int) inDense, length);
      });
    }

    @Override
    public void scatter(HostTensor dense, CountedPart part, HostTensor batch) {
      clear(part, batch);
      part.forEachRun(
          2,
          (inBatch, inDense, length) -> System.arraycopy(
              dense.floats(), (int) inDense, batch.floats(), (int) inBatch, length));
    }

    @Override
    public void clear(CountedPart part, HostTensor batch) {
      Arrays.fill(batch.floats(), (int) part.from(), (int) part.to(), 0);
    }
  }

  private static Normalization how(Geometry geometry, Scope scope) {
    return new Normalization(geometry, scope, 0.25, 1e-5, ReferenceGradient.ATTACHED);
  }

  @Test
  void addsTheCapabilityAndNoOther() {
    assertEquals(RecordingKernels.capable().capabilities(), kernels.capabilities());
    assertSame(plain.tensors(), kernels.tensors());
    kernels.close();
    assertEquals(1, plain.closings());
  }

  @Test
  void aBatchWithoutAMaskGoesAsItIs() {
    Normalization how = how(Geometry.of(SHAPE, 1), Scope.BATCH);
    kernels.statistics(x, how.geometry(), Scope.EXAMPLE);
    kernels.reference(x, how, null, null);
    kernels.forward(x, how, reference, null, null, x);
    kernels.backward(x, x, how, reference, null, null);
    kernels.referenceGradient(x, how.geometry(), reference, reference, 7);
    assertEquals(
        List.of(
            new RecordingKernels.Statistics(x, how.geometry(), Scope.EXAMPLE),
            new RecordingKernels.Reference(x, how, null, null),
            new RecordingKernels.Forward(x, how, reference, null, null, x),
            new RecordingKernels.Backward(x, x, how, reference, null, null),
            new RecordingKernels.IntoReference(x, how.geometry(), reference, reference, 7)),
        plain.calls());
  }

  @Test
  void whatCountsIsOneBatch() {
    HostTensor output = HostTensor.zeros(DType.FLOAT32, SHAPE);
    Arrays.fill(output.floats(), NAN);
    assertSame(output, kernels.forward(x, how(MASKED, Scope.BATCH), reference, null, null, output));

    RecordingKernels.Forward call =
        assertInstanceOf(RecordingKernels.Forward.class, plain.onlyCall());
    assertEquals(how(new Geometry(1, 1, 2, 3), Scope.BATCH), call.how());
    assertArrayEquals(new long[] {1, 2, 3}, call.x().shape());
    assertArrayEquals(new float[] {1, 2, 5, 3, 4, 6}, call.x().floats());
    // The recording kernels leave x as it was.
    assertArrayEquals(
        new float[] {1, 2, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 6, 0, 0}, output.floats());
    plain.assertReleasedAllBut();
  }

  @Test
  void featuresThatComeLastStayLast() {
    Geometry masked = Geometry.of(new long[] {2, 3, 2}, -1, Mask.lengths(1, 2));
    HostTensor last = HostTensor.of(new float[] {1, 2, 0, 0, 0, 0, 3, 4, 5, 6, 0, 0}, 2, 3, 2);
    kernels.statistics(last, masked, Scope.BATCH);

    RecordingKernels.Statistics call =
        assertInstanceOf(RecordingKernels.Statistics.class, plain.onlyCall());
    assertEquals(new Geometry(1, 3, 2, 1), call.geometry());
    assertArrayEquals(new long[] {1, 3, 2}, call.x().shape());
    assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, call.x().floats());
  }

  @Test
  void eachExampleIsABatch() {
    Differentiated<HostTensor> gradients =
        kernels.backward(x, x, how(MASKED, Scope.EXAMPLE), reference, null, null);

    assertEquals(2, plain.calls().size());
    RecordingKernels.Backward last =
        assertInstanceOf(RecordingKernels.Backward.class, plain.calls().get(1));
    assertEquals(how(new Geometry(1, 1, 2, 1), Scope.EXAMPLE), last.how());
    assertArrayEquals(new float[] {5, 6}, last.upstream().floats());
    Moments<HostTensor> dreference = gradients.dreference();
    plain.assertReleasedAllBut(
        gradients.dx(),
        gradients.dgamma(),
        gradients.dbeta(),
        dreference.mean(),
        dreference.variance());
    // Every tensor of the recording kernels is full of its number: dgamma is the sum of two.
    assertEquals(gradients.dgamma().get(0), gradients.dgamma().get(1));
    assertEquals(DType.FLOAT32, gradients.dgamma().dtype());
    assertEquals(DType.FLOAT64, dreference.mean().dtype());
  }

  @Test
  void statisticsOfNothingAreNan() {
    Moments<HostTensor> moments = kernels.statistics(x, MASKED, Scope.EXAMPLE);
    assertArrayEquals(new long[] {3, 2}, moments.mean().shape());
    assertTrue(
        Double.isNaN(moments.mean().get(2)) && Double.isNaN(moments.variance().get(3)));
    assertTrue(moments.mean().get(0) > 0 && moments.variance().get(5) > 0);
    plain.assertReleasedAllBut(moments.mean(), moments.variance());
  }

  @Test
  void resultsAreTheCallersAndAllElseIsReleased() {
    Normalized<HostTensor> normalized = kernels.reference(x, how(MASKED, Scope.BATCH), null, null);
    HostTensor reached = kernels.referenceGradient(x, MASKED, reference, reference, 3);
    plain.assertReleasedAllBut(
        normalized.output(),
        normalized.statistics().mean(),
        normalized.statistics().variance(),
        reached);
  }

  @ParameterizedTest
  @EnumSource(
      value = Scope.class,
      names = {"BATCH", "EXAMPLE"})
  void afterAFailureAllIsReleased(Scope scope) {
    IllegalStateException failure = new IllegalStateException("out of memory");
    for (String method :
        List.of("statistics", "reference", "forward", "backward", "referenceGradient")) {
      plain.fail(method, 1, failure);
    }
    Normalization how = how(MASKED, scope);
    List<Runnable> calls = List.of(
        () -> kernels.statistics(x, MASKED, scope),
        () -> kernels.reference(x, how(MASKED, Scope.BATCH), null, null),
        () -> kernels.forward(x, how, reference, null, null, null),
        () -> kernels.backward(x, x, how, reference, null, null),
        () -> kernels.referenceGradient(x, MASKED, reference, reference, 3));
    for (Runnable each : calls) {
      assertSame(failure, assertThrows(IllegalStateException.class, each::run));
    }
    plain.assertReleasedAllBut();
  }
}
