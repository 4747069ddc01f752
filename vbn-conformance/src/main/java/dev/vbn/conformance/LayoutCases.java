package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.ReferenceGradient;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The cases that outputs, statistics and gradients are compared on, drawn once for all rules. */
final class LayoutCases {
  /** Up to this many elements a case is also run without gamma and beta. */
  static final int BARE_SIZE = 1000;

  private static final Map<Variant, List<Case>> CASES = new EnumMap<>(Variant.class);

  static {
    for (Variant variant : Variant.values()) {
      CASES.put(variant, Shapes.LAYOUTS.stream().flatMap(s -> draw(s, variant)).toList());
    }
  }

  private LayoutCases() {}

  /**
   * Every layout with gamma, beta and the epsilon of the defaults; the small ones also without
   * either, and with an epsilon as large as the variance. The reference is attached.
   */
  static List<Case> of(Variant variant) {
    return CASES.getOrDefault(variant, List.of());
  }

  /** Of all variants. */
  static List<Case> all() {
    return Arrays.stream(Variant.values())
        .flatMap(variant -> of(variant).stream())
        .toList();
  }

  private static Stream<Case> draw(Shapes shapes, Variant variant) {
    VbnConfig config =
        shapes.config().withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case full = new Samples(31).of(config, shapes.live(), shapes.reference());
    Case bare = full.withConfig(config.withEpsilon(0.5)).bare();
    return full.x().size() <= BARE_SIZE ? Stream.of(full, bare) : Stream.of(full);
  }
}
