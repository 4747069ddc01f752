package dev.vbn.testing;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertThrowsExactly;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.function.Executable;

/** Checks that a call is refused with the right exception and in the right words. */
public final class Refusals {
  private Refusals() {}

  /** Exactly {@code type}, with a message that holds every fragment. */
  public static <X extends Throwable> X assertRefused(
      Class<X> type, Executable call, String... fragments) {
    X refusal = assertThrowsExactly(type, call);
    assertHolds(refusal.getMessage(), fragments);
    return refusal;
  }

  /** The text holds every fragment. */
  public static void assertHolds(String text, String... fragments) {
    assertAll(Arrays.stream(fragments)
        .map(fragment -> () ->
            assertTrue(text.contains(fragment), () -> "'" + fragment + "' expected in: " + text)));
  }
}
