package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.largest;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
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
    try (Tensors<T> made = subject.tensors()) {
      checkRoundTrip(subject, host, dtype, made.of(host, dtype));
    }
  }

  private static <T> void checkRoundTrip(
      Subject<T> subject, HostTensor host, DType dtype, T tensor) {
    assertEquals(dtype, subject.backend.dtype(tensor), "type");
    assertArrayEquals(host.shape(), subject.backend.shape(tensor), "shape");
    HostTensor back = subject.backend.toHost(tensor);
    assertEquals(dtype.hostType(), back.dtype(), "type on the host");
    assertArrayEquals(host.shape(), back.shape(), "shape on the host");
    assertSameBits(
        "round trip in " + dtype, host.to(dtype), back, "Round to nearest even, keep the order.");
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
    try (Tensors<T> made = subject.tensors()) {
      T tensor = made.of(host, dtype);
      overwrite(host);
      checkCopies(subject, expected, tensor);
    }
  }

  private static <T> void checkCopies(Subject<T> subject, HostTensor expected, T tensor) {
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
    double condition = Oracle.expect(c).condition;
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      try (ReferenceStatistics<T> own = layer.referenceStatistics(made.of(c.reference(), dtype))) {
        ReferenceMoments moments = own.moments();
        double[] expected = subject.output(layer, x, own).toDoubles();
        checkOutput(
            subject,
            c,
            dtype,
            layer,
            x,
            ReferenceStatistics.of(subject.backend, moments),
            expected,
            condition);
        checkOutput(
            subject,
            c,
            dtype,
            layer,
            x,
            ReferenceStatistics.of(
                subject.backend,
                ReferenceMoments.ofMeanSquare(
                    moments.mean(), moments.meanSquare(), moments.examples(), moments.elements())),
            expected,
            condition);
        checkOutput(
            subject,
            c,
            dtype,
            layer,
            x,
            ReferenceStatistics.wrap(
                subject.backend, own.mean(), own.variance(), own.examples(), own.elements()),
            expected,
            condition);
      }
    }
  }

  private static <T> void checkOutput(
      Subject<T> subject,
      Case c,
      DType dtype,
      VirtualBatchNorm<T> layer,
      T x,
      ReferenceStatistics<T> statistics,
      double[] expected,
      double condition) {
    try (statistics) {
      subject
          .tolerance(dtype, largest(expected), condition)
          .assertClose(
              "output of " + c.describe() + " with statistics from arrays",
              expected,
              subject.output(layer, x, statistics),
              "Statistics made from arrays are those that the reference batch gives.");
    }
  }
}
