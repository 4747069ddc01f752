package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Map;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is declared is there, and what is not declared is refused or right all the same. */
abstract class CapabilityRules extends Rules {
  CapabilityRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @EnumSource(Capability.class)
  @Checks(Rule.DECLARED)
  final void whatIsDeclaredIsThere(Capability capability) {
    holds(() -> {
      switch (capability) {
        case FLOAT64, FLOAT16, BFLOAT16 ->
          checkType(subject(), capability, DType.valueOf(capability.name()));
        case FLOAT64_STATISTICS -> checkStatistics(subject());
        case CALLER_SUPPLIED_OUTPUT -> checkSuppliedOutput(subject());
        case SUBNORMALS -> checkSubnormals(subject());
        case MASK -> checkMask(subject());
        case DOUBLE_BACKWARD -> checkDoubleBackward(subject());
        case CONDITIONAL -> checkConditional(subject());
        case TENSORS_OUTLIVE_BACKEND -> {
          // What is short or long may be kept elsewhere.
          for (long[] shape : new long[][] {{4, 3, 5}, {65, 3, 64}, {40, 160, 13}}) {
            try (Subject<?> subject = kit.openSubject()) {
              checkOutliving(subject, shape);
            }
          }
        }
      }
      if (!subject().has(capability)) {
        throw new DeclaredAbsent(capability + " is declared absent, as was verified");
      }
    });
  }

  private static <T> void checkType(Subject<T> subject, Capability capability, DType dtype) {
    Check.current().compared();
    HostTensor host = HostTensor.zeros(DType.FLOAT32, 2, 3);
    if (subject.has(capability)) {
      try (Tensors<T> made = subject.tensors()) {
        assertEquals(
            dtype, subject.backend.dtype(made.of(host, dtype)), "type of a declared " + dtype);
      }
    } else if (dtype != subject.backend.statisticsType()) {
      UnsupportedCapabilityException e = assertThrows(
          UnsupportedCapabilityException.class,
          () -> subject.backend.fromHost(host, dtype),
          capability + " is declared absent, and fromHost does not refuse it so");
      assertEquals(capability, e.capability(), "capability that the refusal names");
    }
  }

  /** The mean of 1 and the next float lies between them, where only 64 bits have a number. */
  private static <T> void checkStatistics(Subject<T> subject) {
    boolean wide = subject.has(Capability.FLOAT64_STATISTICS);
    HostTensor pair = HostTensor.of(new float[] {1, Math.nextUp(1f)}, 2, 1);
    try (Tensors<T> made = subject.tensors();
        ReferenceStatistics<T> statistics = VirtualBatchNorm.of(subject.backend, VbnConfig.of(1))
            .referenceStatistics(made.of(pair, DType.FLOAT32))) {
      HostTensor mean = subject.host(statistics.mean());
      Check.current().compared();
      assertEquals(
          wide ? DType.FLOAT64 : DType.FLOAT32,
          subject.backend.dtype(statistics.mean()),
          "type of the reference mean " + (wide ? "with" : "without") + " FLOAT64_STATISTICS");
      if (wide) {
        assertEquals(1 + 0x1p-24, mean.get(0), "mean of 1 and the next float, in 64 bits");
      }
    }
  }

  private static <T> void checkSuppliedOutput(Subject<T> subject) {
    Case c = new Samples(62)
        .of(VbnConfig.of(3), new long[] {4, 3, 2}, new long[] {4, 3, 2})
        .roundedTo(DType.FLOAT32);
    try (Tensors<T> made = subject.tensors()) {
      HostTensor before = HostTensor.zeros(DType.FLOAT32, 4, 3, 2);
      T output = made.of(before, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(x)) {
        if (subject.has(Capability.CALLER_SUPPLIED_OUTPUT)) {
          HostTensor expected = subject.output(layer, x, statistics);
          try (Output<T> written = layer.forwardInto(output, x, statistics)) {
            assertSameBits(
                "supplied output",
                expected,
                subject.host(written.output()),
                "CALLER_SUPPLIED_OUTPUT is declared.");
          }
          return;
        }
        assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.forwardInto(output, x, statistics),
            "CALLER_SUPPLIED_OUTPUT is declared absent, and an output is not refused");
        assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.backwardInto(output, x, statistics, x),
            "CALLER_SUPPLIED_OUTPUT is declared absent, and a tensor for dx is not refused");
      }
      assertSameBits("refused output", before, subject.host(output), "A refusal changes nothing.");
    }
  }

  private static <T> void checkMask(Subject<T> subject) {
    Case c = new Samples(64).of(VbnConfig.of(3), new long[] {2, 3, 4}, new long[] {2, 3, 4});
    Mask mask = Mask.lengths(4, 2);
    Check.current().compared();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      if (subject.has(Capability.MASK)) {
        T reference = made.of(c.reference(), DType.FLOAT32);
        try (ReferenceStatistics<T> statistics =
            layer.withMask(mask).referenceStatistics(reference)) {
          assertEquals(6, statistics.elements(), "elements of a batch with lengths 4 and 2");
        }
        return;
      }
      UnsupportedCapabilityException e = assertThrows(
          UnsupportedCapabilityException.class,
          () -> layer.withMask(mask),
          "MASK is declared absent, and a mask is not refused");
      assertEquals(Capability.MASK, e.capability(), "capability that the refusal names");
    }
  }

  private static <T> void checkDoubleBackward(Subject<T> subject) {
    Case c = new Samples(64)
        .of(VbnConfig.of(3), new long[] {4, 3, 2}, new long[] {4, 3, 2})
        .roundedTo(DType.FLOAT32);
    if (subject.has(Capability.DOUBLE_BACKWARD)) {
      Rules.right(subject, c, DType.FLOAT32);
      return;
    }
    try (Tensors<T> made = subject.tensors()) {
      T x = made.of(c.x(), DType.FLOAT32);
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(x)) {
        UnsupportedCapabilityException e = assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.doubleBackward(x, statistics, x, GradientUpstream.ofDx(x)),
            "DOUBLE_BACKWARD is declared absent, and a second gradient is not refused");
        assertEquals(
            Capability.DOUBLE_BACKWARD, e.capability(), "capability that the refusal names");
      }
      assertSameBits("x", c.x(), subject.host(x), "A refusal changes nothing.");
    }
  }

  private static <T> void checkConditional(Subject<T> subject) {
    Case c = new Samples(65)
        .of(VbnConfig.of(3), new long[] {4, 3, 2}, new long[] {4, 3, 2})
        .roundedTo(DType.FLOAT32);
    Check.current().compared();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = VirtualBatchNorm.of(subject.backend, c.config());
      T gamma = made.of(HostTensor.zeros(DType.FLOAT32, 4, 3), DType.FLOAT32);
      if (subject.has(Capability.CONDITIONAL)) {
        T x = made.of(c.x(), DType.FLOAT32);
        try (ReferenceStatistics<T> statistics = layer.referenceStatistics(x)) {
          assertSameBits(
              "output where gamma of each example is 0",
              HostTensor.zeros(DType.FLOAT32, 4, 3, 2),
              subject.output(layer.withGamma(gamma), x, statistics),
              "CONDITIONAL is declared.");
        }
        return;
      }
      UnsupportedCapabilityException e = assertThrows(
          UnsupportedCapabilityException.class,
          () -> layer.withGamma(gamma),
          "CONDITIONAL is declared absent, and a gamma of each example is not refused");
      assertEquals(Capability.CONDITIONAL, e.capability(), "capability that the refusal names");
    }
  }

  /** Kept, or taken for 0; and in either case the output is one that follows from that. */
  private static <T> void checkSubnormals(Subject<T> subject) {
    boolean kept = subject.has(Capability.SUBNORMALS);
    float[] values = {0x1p-130f, -0x1p-140f, Float.MIN_VALUE, 0x1p-126f, -0x1p-149f, 1};
    HostTensor host = HostTensor.of(values, 6);
    try (Tensors<T> made = subject.tensors()) {
      HostTensor back = subject.host(made.of(host, DType.FLOAT32));
      Check.current().compared();
      for (int i = 0; i < values.length; i++) {
        boolean flushed = !kept && Math.abs(values[i]) < Float.MIN_NORMAL && back.get(i) == 0;
        if (!flushed && back.get(i) != values[i]) {
          fail(values[i] + " came back as " + back.get(i) + "; expected it to be kept"
              + (kept ? ", for SUBNORMALS is declared" : " or to be 0"));
        }
      }
    }
    if (!kept) {
      checkFlushed(subject);
    }
  }

  /** Next to ordinary numbers subnormals are as good as 0. */
  private static <T> void checkFlushed(Subject<T> subject) {
    float tiny = 0x1p-130f;
    HostTensor x = HostTensor.of(new float[] {tiny, -tiny, 2 * tiny, 1, -1, 3}, 3, 2);
    Case c = new Case(VbnConfig.of(2), x, x, null, null, x, x);
    assertAgrees(
        subject,
        "subnormal numbers next to ordinary ones",
        subject.expect(c, DType.FLOAT32),
        subject.run(c, DType.FLOAT32),
        DType.FLOAT32);
  }

  /** By the provider's own access to tensors: the handle of a closed backend refuses all. */
  private <T> void checkOutliving(Subject<T> subject, long... shape) {
    VbnConfig config =
        VbnConfig.of((int) shape[1]).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case c = new Samples(63).of(config, shape, shape).roundedTo(DType.FLOAT32);
    HostTensor host = c.x();
    Computed expected = Rules.right(subject, c, DType.FLOAT32);
    TensorAccess<T> access = subject.access();
    try (Tensors<T> made = subject.tensors()) {
      T tensor = made.of(host, DType.FLOAT32);
      boolean outlives = subject.has(Capability.TENSORS_OUTLIVE_BACKEND);
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T upstream = made.of(c.upstream(), DType.FLOAT32);
      // Closed after the backend, which is harmless.
      try (ReferenceOutput<T> pass = layer.reference(made.of(c.reference(), DType.FLOAT32));
          Output<T> live = layer.forward(tensor, pass.statistics());
          Gradients<T> gradients = layer.backward(tensor, pass.statistics(), upstream)) {
        Map<Quantity, T> results = Map.of(
            Quantity.REFERENCE_OUTPUT, pass.output(),
            Quantity.OUTPUT, live.output(),
            Quantity.DX, gradients.dx(),
            Quantity.DGAMMA, gradients.dgamma(),
            Quantity.DBETA, gradients.dbeta());
        subject.close();
        Check.current().compared();
        if (outlives) {
          checkReadable(access, host, tensor);
          try (Subject<?> next = kit.openSubject()) {
            @SuppressWarnings("unchecked") // of the same provider, so of the same type
            TensorAccess<T> others = (TensorAccess<T>) next.access();
            checkReadable(others, host, tensor);
            results.forEach((quantity, result) -> assertSameBits(
                quantity.label() + ", first read after its backend was closed",
                expected.of(quantity),
                others.toHost(result),
                "TENSORS_OUTLIVE_BACKEND is declared, and results are tensors."));
          }
        } else {
          checkRefused(access, tensor);
        }
      }
    }
  }

  private static <T> void checkRefused(TensorAccess<T> access, T tensor) {
    Map<String, Executable> reads = Map.of(
        "shape", () -> access.shape(tensor),
        "dtype", () -> access.dtype(tensor),
        "toHost", () -> access.toHost(tensor));
    reads.forEach((name, read) -> assertThrows(
        IllegalStateException.class,
        read,
        name + " of a tensor whose backend is closed, without TENSORS_OUTLIVE_BACKEND"));
  }

  private static <T> void checkReadable(TensorAccess<T> access, HostTensor host, T tensor) {
    assertArrayEquals(host.shape(), access.shape(tensor), "shape after close");
    assertEquals(DType.FLOAT32, access.dtype(tensor), "type after close");
    assertSameBits(
        "tensor after its backend was closed",
        host,
        access.toHost(tensor),
        "TENSORS_OUTLIVE_BACKEND is declared.");
  }
}
