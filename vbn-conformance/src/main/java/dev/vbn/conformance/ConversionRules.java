package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
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
    // Close to a tie of one type or another, on which they lie once rounded to a type in between:
    1 + 0x1p-11 + 0x1p-40,
    1 + 3 * 0x1p-11 - 0x1p-40,
    65520 - 0x1p-30,
    1 + 0x1p-8 + 0x1p-40,
    1 + 3 * 0x1p-8 - 0x1p-40,
    1 + 0x1p-24 + 0x1p-50,
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
      if (host.size() > 0) {
        assertSameBits(
            "round trip in " + dtype,
            host.to(dtype),
            back,
            "Round to nearest even, keep the order.");
      }
    }
  }

  /** With any payload: one of which only the upper bits are kept may become infinity. */
  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.ROUND_TRIP)
  final void nanStaysNan(DType dtype) {
    holds(() -> {
      float[] floats = new float[4 * 23];
      double[] doubles = new double[4 * 52];
      for (int bit = 0; bit < 23; bit++) { // that bit alone, and with all below it
        floats[4 * bit] = Float.intBitsToFloat(0x7f80_0000 | 1 << bit);
        floats[4 * bit + 1] = Float.intBitsToFloat(0xff80_0000 | 1 << bit);
        floats[4 * bit + 2] = Float.intBitsToFloat(0x7f80_0000 | (2 << bit) - 1);
        floats[4 * bit + 3] = Float.intBitsToFloat(0xff80_0000 | (2 << bit) - 1);
      }
      for (int bit = 0; bit < 52; bit++) {
        doubles[4 * bit] = Double.longBitsToDouble(0x7ff0_0000_0000_0000L | 1L << bit);
        doubles[4 * bit + 1] = Double.longBitsToDouble(0xfff0_0000_0000_0000L | 1L << bit);
        doubles[4 * bit + 2] = Double.longBitsToDouble(0x7ff0_0000_0000_0000L | (2L << bit) - 1);
        doubles[4 * bit + 3] = Double.longBitsToDouble(0xfff0_0000_0000_0000L | (2L << bit) - 1);
      }
      checkRoundTrip(subject(), HostTensor.of(floats, floats.length), dtype);
      checkRoundTrip(subject(), HostTensor.of(doubles, doubles.length), dtype);
    });
  }

  /** As many axes as a batch may have, and none, and axes of length 0: refused, or as they are. */
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
      checkRefusedOrRoundTrip(subject(), HostTensor.of(new double[] {1.5}), dtype);
      for (long[] empty : new long[][] {{0}, {0, 3}, {3, 0, 2}}) {
        checkRefusedOrRoundTrip(subject(), HostTensor.of(new double[0], empty), dtype);
      }
    });
  }

  /** No part of a layer is so. */
  private static void checkRefusedOrRoundTrip(Subject<?> subject, HostTensor host, DType dtype) {
    Check.current().compared();
    try {
      checkRoundTrip(subject, host, dtype);
    } catch (IllegalArgumentException refused) {
      // as it may be
    }
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
      assertSameBits(
          "tensor made of a source that had changed since the last",
          Layouts.filled(expected, 99),
          subject.host(made.of(host, dtype)),
          "fromHost copies what is there now.");
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

  /** Numbers that could be taken for "not set", from each source. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.PLAIN_STATISTICS)
  final void statisticsOf0And1AreLikeOthers(Variant variant) {
    holds(() -> {
      VbnConfig config = VbnConfig.of(2)
          .withVariant(variant)
          .withEpsilon(0.5)
          .withReferenceGradient(ReferenceGradient.ATTACHED);
      Case drawn = new Samples(86).of(config, new long[] {3, 2, 5}, new long[] {4, 2, 6});
      double[] signs = new double[4 * 2 * 6];
      Arrays.setAll(signs, i -> i % 2 == 0 ? 1 : -1);
      HostTensor ones = HostTensor.of(new double[] {1, 1}, 2);
      HostTensor zeros = HostTensor.of(new double[2], 2);
      for (HostTensor reference : List.of(
          HostTensor.of(signs, 4, 2, 6), HostTensor.of(new double[signs.length], 4, 2, 6))) {
        Case c =
            drawn.withReference(reference, drawn.referenceUpstream()).withParameters(ones, zeros);
        for (DType dtype : subject().dtypes()) {
          for (Source source : Source.values()) {
            right(subject(), c, dtype, new Manner(Into.NEW, Into.NEW, source));
          }
          right(subject(), c.withParameters(zeros, ones), dtype);
        }
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
