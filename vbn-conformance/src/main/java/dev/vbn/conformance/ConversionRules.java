package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
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
    1.00048828125,
    Double.NaN,
    Double.POSITIVE_INFINITY,
    Double.NEGATIVE_INFINITY,
    Math.PI,
    1e300,
    // Subnormal in one type or another:
    1e-45,
    6e-8,
    1e-300
  };
  private static final int SUBNORMAL_VALUES = 3;

  ConversionRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.ROUND_TRIP)
  final void valuesAreRoundedToNearestOnTheWayIn(DType dtype) {
    holds(() -> {
      double[] values = subject().has(Capability.SUBNORMALS)
          ? VALUES
          : Arrays.copyOf(VALUES, VALUES.length - SUBNORMAL_VALUES);
      checkRoundTrip(subject(), HostTensor.of(values, 3, values.length / 3), dtype);
      HostTensor drawn = new Samples(81).normal(0, 1, 5, 3, 2, 1, 4);
      checkRoundTrip(subject(), drawn, dtype);
      checkRoundTrip(subject(), drawn.to(DType.FLOAT32), dtype);
    });
  }

  private static <T> void checkRoundTrip(Subject<T> subject, HostTensor host, DType dtype) {
    try (Tensors<T> made = subject.tensors()) {
      T tensor = made.of(host, dtype);
      assertEquals(dtype, subject.backend.dtype(tensor), "type");
      assertArrayEquals(host.shape(), subject.backend.shape(tensor), "shape");
      HostTensor back = subject.host(tensor);
      assertEquals(dtype.hostType(), back.dtype(), "type on the host");
      assertArrayEquals(host.shape(), back.shape(), "shape on the host");
      assertSameBits(
          "round trip in " + dtype, host.to(dtype), back, "Round to nearest even, keep the order.");
    }
  }

  /** As many axes as a batch may have, and none: a scalar is refused, or has no axis. */
  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.ROUND_TRIP)
  final void shapesKeepTheirAxes(DType dtype) {
    holds(() -> {
      for (int rank = 1; rank <= 8; rank++) {
        long[] shape = new long[rank];
        Arrays.setAll(shape, axis -> 1 + axis % 3);
        checkRoundTrip(subject(), new Samples(85).normal(0, 1, shape), dtype);
      }
      Check.current().compared();
      HostTensor scalar = HostTensor.of(new double[] {1.5});
      try {
        checkRoundTrip(subject(), scalar, dtype);
      } catch (IllegalArgumentException refused) {
        // no part of a layer is a scalar
      }
    });
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.COPIES)
  final void hostTensorsAreCopied(DType dtype) {
    holds(() -> {
      // What is short or long may be kept elsewhere.
      for (long[] shape : new long[][] {{1}, {2, 3}, {2, 1}, {8, 8, 8}, {65, 64}, {3, 7, 3200}}) {
        checkCopies(subject(), dtype, shape);
      }
    });
  }

  private static <T> void checkCopies(Subject<T> subject, DType dtype, long... shape) {
    HostTensor expected = new Samples(82).normal(0, 1, shape).to(dtype);
    HostTensor host = expected.to(dtype);
    try (Tensors<T> made = subject.tensors()) {
      T tensor = made.of(host, dtype);
      overwrite(host);
      HostTensor back = subject.host(tensor);
      assertSameBits("tensor after its source changed", expected, back, "fromHost copies.");
      overwrite(back);
      assertSameBits(
          "tensor after its copy changed", expected, subject.host(tensor), "toHost copies.");
      Arrays.fill(subject.backend.shape(tensor), 1);
      assertArrayEquals(shape, subject.backend.shape(tensor), "shape after a copy of it changed");
    }
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
    holds(() -> {
      Case c = new Samples(83)
          .of(VbnConfig.of(3).withVariant(variant), new long[] {4, 3, 5}, new long[] {6, 3, 2});
      for (DType dtype : subject().dtypes()) {
        checkStatistics(subject(), c, dtype);
      }
    });
  }

  private static <T> void checkStatistics(Subject<T> subject, Case c, DType dtype) {
    Case rounded = c.roundedTo(dtype);
    Values scales = subject.expect(c, dtype).of(Quantity.OUTPUT).scaled(2);
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(rounded, dtype);
      T x = made.of(rounded.x(), dtype);
      try (ReferenceStatistics<T> own =
          layer.referenceStatistics(made.of(rounded.reference(), dtype))) {
        HostTensor expected = subject.output(layer, x, own);
        ReferenceMoments moments = own.moments();
        ReferenceMoments ofSquares = ReferenceMoments.ofMeanSquare(
            moments.mean(), moments.meanSquare(), moments.examples(), moments.elements());
        for (ReferenceMoments each : List.of(moments, ofSquares)) {
          try (ReferenceStatistics<T> statistics = ReferenceStatistics.of(subject.backend, each)) {
            subject.tolerance.assertClose(
                "output of " + c.describe() + " with statistics from arrays",
                scales.of(expected),
                subject.output(layer, x, statistics),
                dtype,
                "Statistics made from arrays are those that the reference batch gives.");
          }
        }
      }
    }
  }
}
