package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Bad input and absent capabilities. */
abstract class RefusalRules extends Rules {
  private static final VbnConfig CONFIG = VbnConfig.of(3);

  RefusalRules(VbnConformance kit) {
    super(kit);
  }

  /** The layer refuses by what the backend tells of its tensors: shape and type must be right. */
  @Test
  @Checks(Rule.BAD_SHAPES)
  final void badShapesAreRefusedInTheWordsOfTheApi() {
    checkBadShapes(subject());
  }

  private static <T> void checkBadShapes(Subject<T> subject) {
    Case c = new Samples(61).of(CONFIG, new long[] {4, 3, 2}, new long[] {4, 3, 2});
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c.bare(), DType.FLOAT32);
      T x = made.of(c.reference(), DType.FLOAT32);
      T other = made.of(HostTensor.zeros(DType.FLOAT32, 4, 3, 1), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(x)) {
        T vector = made.of(HostTensor.zeros(DType.FLOAT32, 3), DType.FLOAT32);
        T narrow = made.of(HostTensor.zeros(DType.FLOAT32, 4, 2, 3), DType.FLOAT32);
        refused("rank is 1, shape [3]", () -> layer.reference(vector));
        refused("rank is 1, shape [3]", () -> layer.forward(vector, statistics));
        refused("2 features", () -> layer.reference(narrow));
        refused("2 features", () -> layer.forward(narrow, statistics));
        refused("upstream has shape [4, 3, 1]", () -> layer.backward(x, statistics, other));
        if (subject.has(Capability.CALLER_SUPPLIED_OUTPUT)) {
          refused("output has shape [4, 3, 1]", () -> layer.forwardInto(other, x, statistics));
          refused("dx has shape [4, 3, 1]", () -> layer.backwardInto(other, x, statistics, x));
          if (subject.has(Capability.FLOAT64)) {
            T wide = made.of(c.x(), DType.FLOAT64);
            refused("output is FLOAT64", () -> layer.forwardInto(wide, x, statistics));
            refused("dx is FLOAT64", () -> layer.backwardInto(wide, x, statistics, x));
          }
        }
      }
    }
  }

  private static void refused(String fragment, Executable call) {
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class,
        call,
        "a tensor was not refused with '" + fragment
            + "': the layer goes by what shape() and dtype() say");
    assertTrue(
        String.valueOf(e.getMessage()).contains(fragment),
        () -> "message is '" + e.getMessage() + "'; expected it to name " + fragment);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT64", "FLOAT16", "BFLOAT16"})
  @Checks(Rule.ABSENT_TYPE)
  final void anAbsentTypeIsRefused(Capability capability) {
    checkAbsentType(subject(), capability);
  }

  private static <T> void checkAbsentType(Subject<T> subject, Capability capability) {
    DType dtype = DType.valueOf(capability.name());
    HostTensor host = HostTensor.zeros(DType.FLOAT32, 2, 3);
    if (subject.has(capability)) {
      try (Tensors<T> made = subject.tensors()) {
        assertEquals(
            dtype, subject.backend.dtype(made.of(host, dtype)), "type of a declared " + dtype);
      }
      return;
    }
    if (dtype == subject.backend.statisticsType()) {
      throw new DeclaredAbsent("statistics are of " + dtype + ", batches are not");
    }
    UnsupportedCapabilityException e = assertThrows(
        UnsupportedCapabilityException.class,
        () -> subject.backend.fromHost(host, dtype),
        capability + " is declared absent, and fromHost does not refuse it so");
    assertEquals(capability, e.capability(), "capability that the refusal names");
    assertNotNull(e.getMessage(), "message of the refusal");
    throw new DeclaredAbsent(capability + " is declared absent, and refused as documented");
  }

  @Test
  @Checks(Rule.ABSENT_OUTPUT)
  final void anAbsentCallerSuppliedOutputIsRefused() {
    if (!subject().has(Capability.CALLER_SUPPLIED_OUTPUT)) {
      checkAbsentOutput(subject());
      throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent, and refused");
    }
  }

  private static <T> void checkAbsentOutput(Subject<T> subject) {
    Case c = new Samples(62).of(CONFIG, new long[] {4, 3, 2}, new long[] {4, 3, 2});
    try (Tensors<T> made = subject.tensors()) {
      HostTensor marked = HostTensor.zeros(DType.FLOAT32, 4, 3, 2);
      T output = made.of(marked, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      VirtualBatchNorm<T> layer = made.layer(c.bare(), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(x)) {
        assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.forwardInto(output, x, statistics),
            "CALLER_SUPPLIED_OUTPUT is declared absent, and an output is not refused");
        assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.backwardInto(output, x, statistics, x),
            "CALLER_SUPPLIED_OUTPUT is declared absent, and a tensor for dx is not refused");
      }
      Tolerance.assertSameBits(
          "refused output", marked, subject.host(output), "A refusal changes nothing.");
    }
  }
}
