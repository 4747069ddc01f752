package dev.vbn.spi;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The straight lines that {@link Kernels#write} puts elements on, for each group and feature in
 * this order: {@code factor*(x - center) + offset}, or with an upstream gradient
 * {@code factor*dy + (slope*(x - center) + offset)}.
 *
 * @param slope null without an upstream gradient, and where the result does not depend on x; x is
 *     then not read, and NaN in it must not show
 */
public record GroupLines(
    double[] center, double[] factor, double @Nullable [] slope, double[] offset) {

  /** Those of one group. */
  public GroupLines ofGroup(int group, int features) {
    int from = group * features;
    int to = from + features;
    return new GroupLines(
        Arrays.copyOfRange(center, from, to),
        Arrays.copyOfRange(factor, from, to),
        slope == null ? null : Arrays.copyOfRange(slope, from, to),
        Arrays.copyOfRange(offset, from, to));
  }
}
