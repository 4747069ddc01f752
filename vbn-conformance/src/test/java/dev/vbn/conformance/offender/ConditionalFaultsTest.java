package dev.vbn.conformance.offender;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectNestedClass;

import dev.vbn.conformance.Rule;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.conformance.offender.ConditionalBackend.Flaw;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.platform.engine.discovery.NestedClassSelector;

/** Sums and lines of groups that are wrong in one way each; the kit finds all of them. */
final class ConditionalFaultsTest {
  private static final Set<String> FAMILIES = Set.of("Conditional", "SharedStatistics");

  private static volatile @Nullable Flaw flaw;

  /** The kit on it. */
  static final class Kit extends VbnConformance {
    @Override
    protected VbnProvider<?> provider() {
      Flaw own = flaw;
      return new PlainProvider(() -> new ConditionalBackend(own));
    }

    @Override
    protected Set<Capability> capabilities() {
      return ConditionalBackend.NARROW;
    }
  }

  private static Map<Rule, List<String>> failures(@Nullable Flaw own) {
    flaw = own;
    try {
      List<NestedClassSelector> families = Arrays.stream(VbnConformance.class.getDeclaredClasses())
          .filter(each -> FAMILIES.contains(each.getSimpleName()))
          .map(each -> selectNestedClass(List.of(Kit.class), each))
          .toList();
      KitRun run = KitRun.of(families, () -> {});
      assertTrue(run.tests >= 15, () -> run.tests + " tests ran; expected those of three rules");
      return run.failures;
    } finally {
      flaw = null;
    }
  }

  @Test
  void theRightOnePasses() {
    assertEquals(Map.of(), failures(null));
  }

  @ParameterizedTest
  @EnumSource(Flaw.class)
  void eachFlawFails(Flaw own) {
    assertFalse(failures(own).isEmpty(), () -> requireNonNull(own) + " passed");
  }
}
