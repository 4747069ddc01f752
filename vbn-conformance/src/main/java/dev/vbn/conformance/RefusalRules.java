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
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Bad input and absent capabilities. */
abstract class RefusalRules extends Rules {
  private static final VbnConfig CONFIG = VbnConfig.of(3).withScale(false).withCenter(false);

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
    subject.withLayer(c, DType.FLOAT32, (layer, reference) -> {
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        refused(subject, layer, statistics, "rank is 1, shape [3]", 3);
        refused(subject, layer, statistics, "rank is 6", 1, 3, 1, 1, 1, 1);
        refused(subject, layer, statistics, "2 features", 4, 2, 3);
        assertThrows(NullPointerException.class, () -> layer.reference(missing()));
        T other = subject.tensor(HostTensor.zeros(DType.FLOAT32, 4, 3, 1), DType.FLOAT32);
        refusedBeside(
            "upstream has shape [4, 3, 1]", () -> layer.backward(reference, statistics, other));
        if (subject.has(Capability.CALLER_SUPPLIED_OUTPUT)) {
          refusedBeside(
              "output has shape [4, 3, 1]", () -> layer.forward(reference, statistics, other));
          refusedBeside(
              "dx has shape [4, 3, 1]",
              () -> layer.backward(reference, statistics, reference, other));
        }
        subject.backend.release(other);
        if (subject.has(Capability.CALLER_SUPPLIED_OUTPUT) && subject.has(Capability.FLOAT64)) {
          T wide = subject.tensor(c.x(), DType.FLOAT64);
          refusedBeside("output is FLOAT64", () -> layer.forward(reference, statistics, wide));
          refusedBeside(
              "dx is FLOAT64", () -> layer.backward(reference, statistics, reference, wide));
          subject.backend.release(wide);
        }
      }
      return true;
    });
  }

  @SuppressWarnings({"NullAway", "TypeParameterUnusedInFormals"}) // null is the bad input
  private static <T> T missing() {
    return null;
  }

  private static <T> void refused(
      Subject<T> subject,
      VirtualBatchNorm<T> layer,
      ReferenceStatistics<T> statistics,
      String fragment,
      long... shape) {
    T x = subject.tensor(HostTensor.zeros(DType.FLOAT32, shape), DType.FLOAT32);
    String what = "a batch of shape " + Arrays.toString(shape);
    refused(what, fragment, () -> layer.reference(x));
    refused(what, fragment, () -> layer.forward(x, statistics));
    subject.backend.release(x);
  }

  private static void refusedBeside(String fragment, Executable call) {
    refused("a tensor unlike the batch", fragment, call);
  }

  private static void refused(String what, String fragment, Executable call) {
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class,
        call,
        what + " was not refused with '" + fragment
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
      T tensor;
      try {
        tensor = subject.tensor(host, dtype);
      } catch (UnsupportedOperationException e) {
        throw new AssertionError(
            capability + " is declared, and fromHost refuses it: " + e.getMessage(), e);
      }
      assertEquals(dtype, subject.backend.dtype(tensor), "type of a declared " + dtype);
      subject.backend.release(tensor);
      return;
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
    subject.withLayer(c, DType.FLOAT32, (layer, reference) -> {
      HostTensor marked = HostTensor.zeros(DType.FLOAT32, 4, 3, 2);
      T output = subject.tensor(marked, DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.forward(reference, statistics, output),
            "CALLER_SUPPLIED_OUTPUT is declared absent, and an output is not refused");
        assertThrows(
            UnsupportedCapabilityException.class,
            () -> layer.backward(reference, statistics, reference, output),
            "CALLER_SUPPLIED_OUTPUT is declared absent, and a tensor for dx is not refused");
      }
      Tolerance.assertSameBits(
          "refused output", marked, subject.backend.toHost(output), "A refusal changes nothing.");
      subject.backend.release(output);
      return true;
    });
  }
}
