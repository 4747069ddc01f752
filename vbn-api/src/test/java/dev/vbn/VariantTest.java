package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Scope, weight and name of each variant, as the table of the design has them. */
final class VariantTest {

  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, BATCH, live-batch",
    "BATCH, BATCH, batch",
    "PER_EXAMPLE, EXAMPLE, per-example",
    "POOLED, BATCH, pooled",
    "REFERENCE_ONLY, NONE, reference-only"
  })
  void scopeAndLabel(Variant variant, Scope scope, String label) {
    assertEquals(scope, variant.scope());
    assertEquals(label, variant.label());
  }

  @Test
  void thereAreFive() {
    assertEquals(
        List.of("LIVE_BATCH", "BATCH", "PER_EXAMPLE", "POOLED", "REFERENCE_ONLY"),
        Arrays.stream(Variant.values()).map(Enum::name).toList());
  }

  /** N, N*P, R and R*Pr are such that no variant can take one count for another. */
  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, 3, 15, 1, 9, 0.25",
    "BATCH, 3, 15, 1, 9, 0.5",
    "PER_EXAMPLE, 3, 15, 1, 9, 0.5",
    "POOLED, 3, 15, 1, 9, 0.625",
    "REFERENCE_ONLY, 3, 15, 1, 9, 0",
    "LIVE_BATCH, 1, 1, 7, 14, 0.5",
    "BATCH, 1, 1, 7, 14, 0.125",
    "PER_EXAMPLE, 1, 1, 7, 14, 0.125",
    "POOLED, 1, 2, 7, 14, 0.125",
    "REFERENCE_ONLY, 1, 1, 7, 14, 0"
  })
  void weight(
      Variant variant,
      long liveExamples,
      long liveElements,
      long referenceExamples,
      long referenceElements,
      double expected) {
    assertEquals(
        expected, variant.weight(liveExamples, liveElements, referenceExamples, referenceElements));
  }

  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, 1.0842021724855044e-19",
    "BATCH, 1.0842021724855044e-19",
    "PER_EXAMPLE, 1.0842021724855044e-19",
    "POOLED, 0.5"
  })
  void countsDoNotOverflow(Variant variant, double expected) {
    long most = Long.MAX_VALUE;

    assertEquals(expected, variant.weight(most, most, most, most));
  }

  @ParameterizedTest
  @EnumSource
  void theLabelLeadsBack(Variant variant) {
    assertEquals(variant, Variant.of(variant.label()));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "LIVE_BATCH", "live_batch", "Pooled", "pooled ", "instance"})
  void anotherLabelIsRefusedNamingThoseThatThereAre(String label) {
    assertRefused(
        IllegalArgumentException.class,
        () -> Variant.of(label),
        "variant is '" + label + "'",
        "expected one of live-batch, batch, per-example, pooled, reference-only");
  }

  @Test
  void noLabelIsRefused() {
    assertRefused(NullPointerException.class, () -> Variant.of(null), "label is null", "expected");
  }

  /** In Turkish the small letter of I has no dot. */
  @Test
  void labelsDoNotDependOnTheLanguageOfTheMachine() {
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.forLanguageTag("tr"));
    try {
      assertEquals("live-batch", Variant.LIVE_BATCH.label());
      assertEquals(Variant.LIVE_BATCH, Variant.of("live-batch"));
    } finally {
      Locale.setDefault(before);
    }
  }
}
