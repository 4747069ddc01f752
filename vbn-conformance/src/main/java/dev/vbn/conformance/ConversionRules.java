package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.largest;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
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
    double condition = Oracle.expect(c).condition;
    subject.withLayer(c, dtype, (layer, reference) -> {
      T x = subject.tensor(c.x(), dtype);
      try (ReferenceStatistics<T> own = layer.referenceStatistics(reference)) {
        double[] mean = own.mean();
        double[] variance = own.variance();
        double[] meanSquare = new double[mean.length];
        Arrays.setAll(meanSquare, i -> variance[i] + mean[i] * mean[i]);
        double[] expected = output(subject, layer.forward(x, own)).toDoubles();
        Map<String, ReferenceStatistics<T>> sources = new LinkedHashMap<>();
        sources.put(
            "mean and variance",
            ReferenceStatistics.of(subject.backend, dtype, mean, variance, 6, 12));
        sources.put(
            "mean square",
            ReferenceStatistics.ofMeanSquare(subject.backend, dtype, mean, meanSquare, 6, 12));
        sources.put("conversion", own.to(subject.backend));
        sources.forEach((source, statistics) -> {
          try (statistics) {
            Tolerance.of(dtype, largest(expected), condition)
                .assertClose(
                    "output of " + c.describe() + " with statistics from " + source,
                    expected,
                    output(subject, layer.forward(x, statistics)),
                    "Statistics made from arrays are those that the reference batch gives.");
          }
        });
      } finally {
        subject.backend.release(x);
      }
      return true;
    });
  }

  private static <T> HostTensor output(Subject<T> subject, LiveOutput<T> live) {
    HostTensor output = subject.backend.toHost(live.output());
    subject.release(live);
    return output;
  }
}
