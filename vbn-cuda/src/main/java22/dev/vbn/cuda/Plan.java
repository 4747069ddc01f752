package dev.vbn.cuda;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** How many launches a call takes, where its batch allows; else it takes more. */
enum Plan {
  /** One for small groups, of which a multiprocessor holds several, or which are few; else two. */
  AUTO,
  /** One wherever a multiprocessor has room for a group. */
  ONE,
  /**
   * One, of blocks that wait for each other, where together they have room for a group: whether
   * that is faster is not known yet for any device.
   */
  TOGETHER,
  /** Sums with the mixture, output. */
  TWO,
  /** Sums, mixture, output: what the others are compared with. */
  THREE;

  /** System property that says which; {@link #AUTO} otherwise. */
  static final String PROPERTY = "vbn.cuda.plan";

  /** @throws IllegalArgumentException if the property names none */
  static Plan chosen() {
    String name = System.getProperty(PROPERTY, label(AUTO));
    return Arrays.stream(values())
        .filter(plan -> label(plan).equals(name))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException(PROPERTY + " is '" + name + "'; expected "
            + Arrays.stream(values()).map(Plan::label).collect(Collectors.joining(", "))));
  }

  private static String label(Plan plan) {
    return plan.name().toLowerCase(Locale.ROOT);
  }
}
