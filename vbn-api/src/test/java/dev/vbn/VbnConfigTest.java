package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.spi.ReferenceGradient;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InvalidObjectException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Defaults of the founding document, one change at a time, and nothing out of range. */
final class VbnConfigTest {
  private static final VbnConfig CONFIG = VbnConfig.of(3);

  @Test
  void theDefaultsAreThoseOfTheFoundingDocument() {
    assertEquals(3, CONFIG.features());
    assertEquals(1e-5, CONFIG.epsilon());
    assertEquals(1, CONFIG.featureAxis());
    assertEquals(Variant.LIVE_BATCH, CONFIG.variant());
    assertEquals(ReferenceGradient.DETACHED, CONFIG.referenceGradient());
  }

  @Test
  void eachWithChangesItsOneSetting() {
    assertEquals(
        new VbnConfig(3, 1e-3, 0, 1, 1, Variant.LIVE_BATCH, ReferenceGradient.DETACHED),
        CONFIG.withEpsilon(1e-3));
    assertEquals(
        new VbnConfig(3, 1e-5, 0, -1, -1, Variant.LIVE_BATCH, ReferenceGradient.DETACHED),
        CONFIG.withFeatureAxis(-1));
    assertEquals(
        new VbnConfig(3, 1e-5, 0, 1, 1, Variant.POOLED, ReferenceGradient.DETACHED),
        CONFIG.withVariant(Variant.POOLED));
    assertEquals(
        new VbnConfig(3, 1e-5, 0, 1, 1, Variant.LIVE_BATCH, ReferenceGradient.ATTACHED),
        CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED));
  }

  @Test
  void aChangeKeepsTheOtherSettings() {
    VbnConfig other = new VbnConfig(5, 0.25, 0, -2, -2, Variant.BATCH, ReferenceGradient.ATTACHED);

    assertEquals(other, other.withEpsilon(1).withEpsilon(0.25));
    assertEquals(other, other.withFeatureAxis(1).withFeatureAxis(-2));
    assertEquals(other, other.withVariant(Variant.POOLED).withVariant(Variant.BATCH));
    assertEquals(
        other,
        other
            .withReferenceGradient(ReferenceGradient.DETACHED)
            .withReferenceGradient(ReferenceGradient.ATTACHED));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, Integer.MIN_VALUE})
  void fewerFeaturesThanOneAreRefused(int features) {
    assertRefused(
        IllegalArgumentException.class,
        () -> VbnConfig.of(features),
        "features is " + features,
        "expected at least 1");
  }

  @ParameterizedTest
  @ValueSource(
      doubles = {
        0,
        -0.0,
        -1e-5,
        -Double.MIN_VALUE,
        Double.NaN,
        Double.POSITIVE_INFINITY,
        Double.NEGATIVE_INFINITY
      })
  void epsilonThatIsNotAFiniteNumberAboveZeroIsRefused(double epsilon) {
    assertRefused(
        IllegalArgumentException.class,
        () -> CONFIG.withEpsilon(epsilon),
        "epsilon is " + epsilon,
        "expected a finite number above 0");
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.MIN_VALUE, 1, Double.MAX_VALUE})
  void epsilonAtTheEndsOfItsRangeIsKept(double epsilon) {
    assertEquals(epsilon, CONFIG.withEpsilon(epsilon).epsilon());
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 5, -5, Integer.MAX_VALUE, Integer.MIN_VALUE})
  void aFeatureAxisThatNoRankHasIsRefused(int axis) {
    assertRefused(
        IllegalArgumentException.class,
        () -> CONFIG.withFeatureAxis(axis),
        "feature axis is " + axis,
        "expected 1 to 4, or -1 to -4");
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 4, -1, -4})
  void aFeatureAxisThatSomeRankHasIsKept(int axis) {
    assertEquals(axis, CONFIG.withFeatureAxis(axis).featureAxis());
  }

  @Test
  void nullsAreRefusedByName() {
    assertRefused(
        NullPointerException.class, () -> CONFIG.withVariant(null), "variant is null", "expected");
    assertRefused(
        NullPointerException.class,
        () -> CONFIG.withReferenceGradient(null),
        "referenceGradient is null",
        "expected DETACHED, ATTACHED or ALL_DETACHED");
  }

  @Test
  void itGoesThroughAStreamAsItIs() throws Exception {
    VbnConfig config =
        new VbnConfig(5, 0.25, 0, -2, -2, Variant.POOLED, ReferenceGradient.ATTACHED);
    assertEquals(config, read(written(config)));
  }

  @Test
  void aStreamCannotHoldWhatIsRefused() throws Exception {
    byte[] stream = written(CONFIG.withEpsilon(0x1.123456789abcdp0));
    byte[] epsilon = ByteBuffer.allocate(8).putDouble(0x1.123456789abcdp0).array();
    int at = indexOf(stream, epsilon);
    ByteBuffer.wrap(stream).putDouble(at, Double.NaN);

    InvalidObjectException refusal = assertThrows(InvalidObjectException.class, () -> read(stream));
    assertHolds(refusal.getMessage(), "epsilon is NaN", "expected a finite number above 0");
  }

  private static int indexOf(byte[] stream, byte[] part) {
    int at = 0;
    while (!Arrays.equals(stream, at, at + part.length, part, 0, part.length)) {
      at++;
    }
    return at;
  }

  private static byte[] written(Object object) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(object);
    }
    return bytes.toByteArray();
  }

  private static Object read(byte[] stream) throws IOException, ClassNotFoundException {
    try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(stream))) {
      return in.readObject();
    }
  }
}
