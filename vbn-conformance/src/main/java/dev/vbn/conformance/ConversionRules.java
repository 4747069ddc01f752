package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.largest;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Tensors and statistics on their way in and out. */
abstract class ConversionRules extends Rules {
  private static final double[] VALUES = {
    0,
    -0.0,
    1,
    -1.5,
    0.1,
    1e-3,
    65504,
    65520,
    3.0e38,
    1e-45,
    6e-8,
    1.00048828125,
    Double.NaN,
    Double.POSITIVE_INFINITY,
    Double.NEGATIVE_INFINITY,
    Math.PI,
    1e300,
    1e-300
  };

  ConversionRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.ROUND_TRIP)
  final void valuesAreRoundedToNearestOnTheWayIn(DType dtype) {
    checkRoundTrip(subject(), HostTensor.of(VALUES, 3, 6), dtype);
    HostTensor drawn = new Samples(81).normal(0, 1, 5, 3, 2, 1, 4);
    checkRoundTrip(subject(), drawn, dtype);
    checkRoundTrip(subject(), drawn.to(DType.FLOAT32), dtype);
  }

  private static <T> void checkRoundTrip(Subject<T> subject, HostTensor host, DType dtype) {
    T tensor = subject.tensor(host, dtype);
    assertEquals(dtype, subject.backend.dtype(tensor), "type");
    assertArrayEquals(host.shape(), subject.backend.shape(tensor), "shape");
    HostTensor back = subject.backend.toHost(tensor);
    assertEquals(dtype.hostType(), back.dtype(), "type on the host");
    assertArrayEquals(host.shape(), back.shape(), "shape on the host");
    assertSameBits(
        "round trip in " + dtype, host.to(dtype), back, "Round to nearest even, keep the order.");
    subject.backend.release(tensor);
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.COPIES)
  final void hostTensorsAreCopied(DType dtype) {
    checkCopies(subject(), dtype);
  }

  private static <T> void checkCopies(Subject<T> subject, DType dtype) {
    HostTensor expected = new Samples(82).normal(0, 1, 2, 3).to(dtype);
    HostTensor host = expected.to(dtype);
    T tensor = subject.tensor(host, dtype);
    overwrite(host);
    HostTensor back = subject.backend.toHost(tensor);
    assertSameBits("tensor after its source changed", expected, back, "fromHost copies.");
    overwrite(back);
    assertSameBits(
        "tensor after its copy changed",
        expected,
        subject.backend.toHost(tensor),
        "toHost copies.");
    Arrays.fill(subject.backend.shape(tensor), 1);
    assertArrayEquals(
        new long[] {2, 3}, subject.backend.shape(tensor), "shape after a copy of it changed");
    subject.backend.release(tensor);
  }

  private static void overwrite(HostTensor tensor) {
    if (tensor.dtype() == DType.FLOAT64) {
      Arrays.fill(tensor.doubles(), 99);
    } else {
      Arrays.fill(tensor.floats(), 99);
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.PLAIN_STATISTICS)
  final void statisticsFromPlainArraysNormaliseAlike(Variant variant) {
    Case c = new Samples(83)
        .of(VbnConfig.of(3).withVariant(variant), new long[] {4, 3, 5}, new long[] {6, 3, 2});
    for (DType dtype : dtypes()) {
      checkStatistics(subject(), c.roundedTo(dtype), dtype);
    }
  }

  private static <T> void checkStatistics(Subject<T> subject, Case c, DType dtype) {
    Oracle.Expected expected = Oracle.expect(c);
    subject.withLayer(c, dtype, (layer, reference) -> {
      T x = subject.tensor(c.x(), dtype);
      double[] meanSquare = expected.referenceVariance.clone();
      for (int i = 0; i < meanSquare.length; i++) {
        meanSquare[i] += expected.referenceMean[i] * expected.referenceMean[i];
      }
      try (ReferenceStatistics<T> plain = ReferenceStatistics.of(
              subject.backend, dtype, expected.referenceMean, expected.referenceVariance, 6, 12);
          ReferenceStatistics<T> fromSquare = ReferenceStatistics.ofMeanSquare(
              subject.backend, dtype, expected.referenceMean, meanSquare, 6, 12);
          ReferenceStatistics<T> converted = plain.to(subject.backend)) {
        check(subject, layer.forward(x, plain), expected, dtype, "mean and variance");
        check(subject, layer.forward(x, fromSquare), expected, dtype, "mean square");
        check(subject, layer.forward(x, converted), expected, dtype, "conversion");
      } finally {
        subject.backend.release(x);
      }
      return true;
    });
  }

  private static <T> void check(
      Subject<T> subject,
      LiveOutput<T> live,
      Oracle.Expected expected,
      DType dtype,
      String source) {
    Tolerance.of(dtype, largest(expected.output), expected.condition)
        .assertClose(
            "output with statistics from " + source,
            expected.output,
            subject.backend.toHost(live.output()),
            "Statistics made from arrays are those that the reference batch gives.");
    subject.release(live);
  }
}
