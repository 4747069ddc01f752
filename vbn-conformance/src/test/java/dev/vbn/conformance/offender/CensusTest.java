package dev.vbn.conformance.offender;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectNestedClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectNestedMethod;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.Rule;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Scope;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Disabled;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.InvocationInterceptor;
import org.junit.jupiter.api.extension.ReflectiveInvocationContext;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.opentest4j.TestAbortedException;

/** A kit that is filtered, emptied or switched off in part does not look green. */
class CensusTest {
  private static final String FAMILY = VbnConformance.class.getName() + "$";

  /** A subclass as any author writes it. */
  static class Plain extends VbnConformance {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider();
    }

    @Override
    protected Set<Capability> capabilities() {
      return PlainBackend.CAPABILITIES;
    }

    @Override
    protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
      return List.of(Strided.view(host, dtype));
    }
  }

  private static void assertNotGreen(KitRun run, String fragment) {
    assertFalse(run.green(), "a run that proves nothing looks green");
    assertTrue(
        run.failuresBeside.stream().anyMatch(message -> message.contains(fragment)),
        () -> "failures are " + run.failuresBeside + "; expected one to contain " + fragment);
  }

  private static KitRun run(Class<?> kit) {
    return KitRun.of(kit, Map.of());
  }

  /** For what shows in any family: a whole kit takes half a minute. */
  private static KitRun run(Class<?> kit, String family) {
    return KitRun.of(selectNestedClass(List.of(kit.getName()), FAMILY + family), Map.of());
  }

  @Test
  void oneFamilyOfRulesAlone() {
    KitRun run = run(Plain.class, "Statistics");
    assertTrue(run.tests > 0);
    assertEquals(Map.of(), run.failures);
    assertNotGreen(run, "VBN-301 (" + Rule.FORWARD.sentence() + ") by output");
  }

  @Test
  void oneTestAlone() {
    KitRun run = KitRun.of(
        selectNestedMethod(
            List.of(Plain.class.getName()), FAMILY + "Statistics", "varianceIsBiased"),
        Map.of());
    assertEquals(1, run.tests);
    assertNotGreen(run, "not everything was checked");
  }

  /** Switches off whatever a subclass names. */
  abstract static class Condition implements ExecutionCondition {
    abstract boolean disables(String displayName);

    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
      return disables(context.getDisplayName())
          ? ConditionEvaluationResult.disabled("does not matter here")
          : ConditionEvaluationResult.enabled("");
    }
  }

  @ExtendWith(WithoutFamilies.Off.class)
  static final class WithoutFamilies extends Plain {
    static final class Off extends Condition {
      @Override
      boolean disables(String displayName) {
        return displayName.equals("gradients");
      }
    }

    /** Has the name of a family of rules, and hides it from JUnit. */
    @Nested
    class Statistics {}
  }

  @Test
  void familiesOfRulesDisabledByAConditionAndHiddenByANestedClass() {
    KitRun run = run(WithoutFamilies.class);
    assertNotGreen(run, "VBN-401");
    assertNotGreen(run, "VBN-201");
  }

  @ExtendWith(WithoutOneVariant.Off.class)
  static final class WithoutOneVariant extends Plain {
    static final class Off extends Condition {
      @Override
      boolean disables(String displayName) {
        return displayName.equals("[3] PER_EXAMPLE");
      }
    }
  }

  @Test
  void oneInvocationOfATestDisabledByACondition() {
    assertNotGreen(run(WithoutOneVariant.class, "Forward"), "disabled: does not matter here");
  }

  static final class AssumingBefore extends Plain {
    @BeforeEach
    void assume(TestInfo test) {
      Assumptions.assumeFalse(test.getDisplayName().equals("[3] PER_EXAMPLE"), "not here");
    }
  }

  @Test
  void oneInvocationAbortedBeforeItStarts() {
    assertNotGreen(run(AssumingBefore.class, "Forward"), "aborted");
  }

  static final class AssumingAtFirst extends Plain {
    @BeforeAll
    void assume() {
      Assumptions.abort("not today");
    }
  }

  @Test
  void everythingAbortedBeforeItStarts() {
    assertNotGreen(run(AssumingAtFirst.class), "not everything was checked");
  }

  @ExtendWith(Swallowing.Swallow.class)
  static final class Swallowing extends Plain {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(() -> new PlainBackend() {
        @Override
        double deviation(double v, double epsilon) {
          return Math.sqrt(v) + epsilon;
        }
      });
    }

    static final class Swallow implements TestExecutionExceptionHandler {
      @Override
      public void handleTestExecutionException(ExtensionContext context, Throwable failure) {}
    }
  }

  @Test
  void failuresSwallowedByAnExtension() {
    KitRun run = run(Swallowing.class, "Forward");
    assertTrue(
        run.failures.get(Rule.EPSILON).get(0).contains("an extension swallowed the outcome"),
        () -> "failures are " + run.failures);
  }

  /** Stands between JUnit and the tests of a family. */
  abstract static class Between implements InvocationInterceptor {
    abstract void intercept(Invocation<Void> invocation) throws Throwable;

    @Override
    public void interceptTestMethod(
        Invocation<Void> invocation,
        ReflectiveInvocationContext<Method> method,
        ExtensionContext context)
        throws Throwable {
      intercept(invocation);
    }

    @Override
    public void interceptTestTemplateMethod(
        Invocation<Void> invocation,
        ReflectiveInvocationContext<Method> method,
        ExtensionContext context)
        throws Throwable {
      intercept(invocation);
    }
  }

  @ExtendWith(Skipping.Skip.class)
  static final class Skipping extends Plain {
    static final class Skip extends Between {
      @Override
      void intercept(Invocation<Void> invocation) {
        invocation.skip();
      }
    }
  }

  @Test
  void testsSkippedByAnInterceptor() {
    KitRun run = run(Skipping.class);
    assertEquals(EnumSet.allOf(Rule.class), run.failures.keySet());
    String message = run.failures.get(Rule.FORWARD).get(0);
    assertTrue(message.contains("an extension kept this check from running"), message);
  }

  @ExtendWith(SwallowingBetween.Swallow.class)
  static final class SwallowingBetween extends Plain {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(() -> new PlainBackend() {
        @Override
        double deviation(double v, double epsilon) {
          return Math.sqrt(v) + epsilon;
        }
      });
    }

    static final class Swallow extends Between {
      @Override
      void intercept(Invocation<Void> invocation) {
        try {
          invocation.proceed();
        } catch (Throwable e) {
          // and that is all that is heard of it
        }
      }
    }
  }

  @Test
  void failuresSwallowedByAnInterceptor() {
    String message =
        run(SwallowingBetween.class, "Forward").failures.get(Rule.EPSILON).get(0);
    assertTrue(message.contains("an extension swallowed the outcome"), message);
  }

  static final class WithTestsOfItsOwn extends Plain {
    @Test
    void own() {}

    @Test
    @Disabled("not a matter of the kit's")
    void disabled() {}

    @Test
    void aborted() {
      Assumptions.abort("not a matter of the kit's");
    }

    @Nested
    class More {
      @Test
      void own() {}
    }
  }

  /** The census counts the kit's, and names the seed. */
  @Test
  void aSubclassMayHaveTestsOfItsOwn() {
    KitRun run = run(WithTestsOfItsOwn.class);
    assertTrue(run.green(), () -> run.failures + " " + run.failuresBeside);
    int own = 3; // that start
    assertEquals(
        run.tests - own,
        run.outcomes.values().stream().mapToInt(Integer::intValue).sum());
    assertTrue(run.tests >= Rule.values().length);
    assertEquals(Long.getLong("vbn.conformance.seed", 20160610), Long.parseLong(run.seed));
  }

  @Test
  void aSettingThatMeansNothingIsAnError() {
    Map<String, String> bad =
        Map.of("vbn.conformance.seed", "x", VbnConformance.REQUIRE_DEVICE_PROPERTY, "yes");
    bad.forEach((property, value) -> {
      String before = System.getProperty(property);
      System.setProperty(property, value);
      try {
        KitRun run = run(Plain.class);
        assertEquals(0, run.tests);
        assertNotGreen(run, property + " is '" + value + "'");
      } finally {
        if (before == null) {
          System.clearProperty(property);
        } else {
          System.setProperty(property, before);
        }
      }
    });
  }

  static final class Leaking extends Plain {
    private final List<VbnBackend<?>> handles = new ArrayList<>();

    @Override
    protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
      if (handles.isEmpty()) {
        handles.add(backend);
        backend.fromHost(host);
      }
      return super.views(backend, host, dtype);
    }
  }

  @Test
  void aTensorLeftOpenIsAFailure() {
    assertNotGreen(run(Leaking.class), "left 1 tensors open");
  }

  static final class NoWhileOpen extends Plain {
    private int opened;

    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(() -> {
        opened++;
        return new PlainBackend();
      }) {
        @Override
        public Availability probe() {
          return opened == 0
              ? super.probe()
              : Availability.unavailable("the device is in use", null);
        }
      };
    }
  }

  @Test
  void aProbeThatSaysNoWhileABackendIsOpenIsAFailure() {
    KitRun run = run(NoWhileOpen.class, "Provider");
    assertFalse(run.failures.getOrDefault(Rule.PROBE_IS_A_VALUE, List.of()).isEmpty());
  }

  @TestInstance(TestInstance.Lifecycle.PER_METHOD)
  static final class InstancePerMethod extends Plain {}

  @Test
  void anotherLifecycleForgetsWhatWasCounted() {
    assertFalse(run(InstancePerMethod.class).green());
  }

  @Disabled("for the moment")
  static final class Off extends Plain {}

  /** JUnit skips such a class before any extension of it lives: only the count of tests tells. */
  @Test
  void aDisabledClassHasNoTests() {
    assertEquals(0, run(Off.class).tests);
  }

  /** What is filtered as a whole never starts: only the count of tests tells. */
  @Test
  void aRunThatATagEmptiesHasNoTests() {
    KitRun run = KitRun.of(LauncherDiscoveryRequestBuilder.request()
        .selectors(selectClass(Plain.class))
        .filters(TagFilter.includeTags("gpu"))
        .build());
    assertEquals(0, run.tests);
  }

  static final class Unsupported extends Plain {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(() -> new PlainBackend() {
        @Override
        public Moments<Strided> statistics(Strided x, Geometry geometry, Scope scope) {
          throw new UnsupportedOperationException("statistics are not there yet");
        }
      });
    }
  }

  /** The kernel, what it threw, and the frame of the author's own that threw it. */
  @Test
  void unsupportedElsewhereIsAFailure() {
    KitRun run = run(Unsupported.class);
    String message = run.failures.get(Rule.SPLIT).get(0);
    assertTrue(
        message.startsWith("VBN-203: statistics threw java.lang.UnsupportedOperationException:"
            + " statistics are not there yet, at dev.vbn.conformance.offender.CensusTest$"),
        message);
    assertEquals(Set.of("reference", "statistics"), run.kernels.keySet());
    String frame = run.kernels.get("statistics");
    assertTrue(frame.contains("CensusTest.java:"), frame);
  }

  static final class Aborting extends Plain {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(() -> new PlainBackend() {
        @Override
        public Moments<Strided> statistics(Strided x, Geometry geometry, Scope scope) {
          throw new TestAbortedException("statistics are not there yet");
        }
      });
    }

    @Override
    protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
      throw new TestAbortedException("views are not there yet");
    }
  }

  @Test
  void nobodyAbortsButTheKit() {
    KitRun run = run(Aborting.class);
    String ofBackend = run.failures.get(Rule.SPLIT).get(0);
    assertTrue(ofBackend.contains("threw org.opentest4j.TestAbortedException"), ofBackend);
    String ofTest = run.failures.get(Rule.STRIDES).get(0);
    assertTrue(ofTest.contains("which only the kit may"), ofTest);
  }

  static final class WithoutDevice extends Plain {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(Availability.unavailable("no such card", null), () -> {
        throw new AssertionError("opened though not available");
      });
    }
  }

  @Test
  void withoutADeviceNothingFailsAndNothingLooksPassed() {
    KitRun run = run(WithoutDevice.class);
    assertTrue(run.green(), () -> run.failures + " " + run.failuresBeside);
    assertEquals(Set.of("NO_DEVICE", "PASSED"), run.outcomes.keySet());
    assertEquals(2, run.outcomes.get("PASSED"), "checks of the provider alone, VBN-101 and 102");
  }

  @Test
  void aDeviceThatIsRequiredAndNotThereIsAFailure() {
    System.setProperty(VbnConformance.REQUIRE_DEVICE_PROPERTY, "true");
    try {
      KitRun run = run(WithoutDevice.class);
      assertFalse(run.green());
      assertEquals(Set.of("FAILED", "PASSED"), run.outcomes.keySet());
      String message = run.failures.get(Rule.FORWARD).get(0);
      assertTrue(message.contains("no device for 'plain': no such card"), message);
    } finally {
      System.clearProperty(VbnConformance.REQUIRE_DEVICE_PROPERTY);
    }
  }

  static final class ThrowingProbe extends Plain {
    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider() {
        @Override
        public Availability probe() {
          throw new UnsatisfiedLinkError("libdevice.so.1");
        }
      };
    }
  }

  @Test
  void aProbeThatThrowsFailsAtItsRule() {
    String message =
        run(ThrowingProbe.class, "Provider").failures.get(Rule.PROBE_IS_A_VALUE).get(0);
    assertTrue(message.contains("expected Availability.unavailable(reason, cause)"), message);
  }
}
