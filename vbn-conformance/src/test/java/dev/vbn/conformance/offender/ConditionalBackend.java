package dev.vbn.conformance.offender;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Scope;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The plain backend with both sweeps apart; right, or wrong in one step of them. */
class ConditionalBackend extends PlainBackend {
  /** One step of {@link Conditional} gone wrong. */
  enum Flaw {
    SUMS_OF_ALL_EXAMPLES,
    SUMS_SWAPPED,
    SUMS_AROUND_ZERO,
    SUMS_IGNORE_WEIGHT,
    SUMS_OF_THE_REFERENCE_MEAN_ALONE,
    LAST_GROUP_WITHOUT_SUMS,
    SUMS_COUNT_MASKED,
    LINES_OF_THE_FIRST_EXAMPLE,
    LINES_OF_THE_NEXT_FEATURE,
    CENTER_LEFT_OUT,
    OFFSET_LEFT_OUT,
    OFFSET_NEGATED,
    SLOPE_LEFT_OUT,
    SLOPE_TAKEN_FOR_FACTOR,
    UPSTREAM_LEFT_OUT,
    LAST_ELEMENT_UNWRITTEN,
    MASKED_UNWRITTEN,
    IN_SIXTEEN_BITS
  }

  /** Without 64 bits, in which no flaw is another one. */
  static final Set<Capability> NARROW = EnumSet.copyOf(CAPABILITIES);

  static {
    NARROW.add(Capability.CONDITIONAL);
    NARROW.remove(Capability.FLOAT64);
  }

  private final @Nullable Flaw flaw;

  ConditionalBackend(@Nullable Flaw flaw) {
    this(NARROW, flaw);
  }

  ConditionalBackend(Set<Capability> capabilities, @Nullable Flaw flaw) {
    super(capabilities);
    this.flaw = flaw;
  }

  @Override
  public GroupSums sums(
      Strided x, Strided upstream, Normalization how, Moments<Strided> reference) {
    Geometry geometry = how.geometry();
    if (flaw == Flaw.SUMS_COUNT_MASKED) {
      geometry =
          new Geometry(geometry.batch(), geometry.before(), geometry.features(), geometry.after());
    }
    List<Group> groups = groups(geometry, how.scope());
    int features = (int) geometry.features();
    double[] a = new double[how.scope() == Scope.EXAMPLE ? groups.size() : features];
    double[] b = new double[a.length];
    for (Group group : groups) {
      if (group.size() == 0 || (flaw == Flaw.LAST_GROUP_WITHOUT_SUMS && isLast(group, a))) {
        continue;
      }
      double[] xh = gather(group, x);
      double[] dy = gather(group, upstream);
      Mixed mixed = mixedAs(xh, how, reference, group.feature());
      double s = deviation(mixed.v(), how.epsilon());
      double m = flaw == Flaw.SUMS_AROUND_ZERO ? 0 : mixed.m();
      for (int i = 0; i < xh.length; i++) {
        xh[i] = dy[i] * normalized(xh[i], m, s);
      }
      int at = flaw == Flaw.SUMS_OF_ALL_EXAMPLES ? group.feature() : group.index();
      a[at] += sum(dy);
      b[at] += sum(xh);
    }
    return flaw == Flaw.SUMS_SWAPPED ? new GroupSums(b, a) : new GroupSums(a, b);
  }

  private static boolean isLast(Group group, double[] sums) {
    return group.index() == sums.length - 1;
  }

  private Mixed mixedAs(double[] x, Normalization how, Moments<Strided> reference, int feature) {
    double mr = statistic(reference.mean(), feature);
    double vr = statistic(reference.variance(), feature);
    if (how.weight() == 0) {
      return new Mixed(0, mr, vr);
    }
    double[] live = liveStatistics(x);
    double w = flaw == Flaw.SUMS_IGNORE_WEIGHT ? 0.5 : how.weight();
    Mixed mixed = mix(mr, vr, live[0], live[1], w);
    return flaw == Flaw.SUMS_OF_THE_REFERENCE_MEAN_ALONE
        ? new Mixed(mixed.d(), mr, mixed.v())
        : mixed;
  }

  @Override
  public Strided write(
      Strided x,
      @Nullable Strided upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable Strided output) {
    Strided result = result(output, x);
    for (Group group : groups(geometry, scope)) {
      if (group.counts() != null && flaw != Flaw.MASKED_UNWRITTEN) {
        group.masked().forEach((at, index) -> result.set(index, 0));
      }
      if (group.size() > 0) {
        scatter(group, line(x, upstream, group, lines, result), result);
      }
    }
    return result;
  }

  private double[] line(
      Strided x, @Nullable Strided upstream, Group group, GroupLines lines, Strided result) {
    int groups = lines.factor().length;
    int at = group.index();
    if (flaw == Flaw.LINES_OF_THE_FIRST_EXAMPLE) {
      at = group.feature();
    } else if (flaw == Flaw.LINES_OF_THE_NEXT_FEATURE) {
      at = (at + 1) % groups;
    }
    double factor = lines.factor()[at];
    double center = flaw == Flaw.CENTER_LEFT_OUT ? 0 : lines.center()[at];
    double offset = flaw == Flaw.OFFSET_LEFT_OUT ? 0 : lines.offset()[at];
    if (flaw == Flaw.OFFSET_NEGATED) {
      offset = -offset;
    }
    double slope = upstream == null ? 0 : slope(lines.slope(), at, factor);
    double[] values = gather(group, x);
    double[] dy = upstream == null ? null : gather(group, upstream);
    double last = group.gather(result)[values.length - 1];
    for (int i = 0; i < values.length; i++) {
      double distance = values[i] - center;
      double line = dy == null
          ? factor * distance + offset
          : (flaw == Flaw.UPSTREAM_LEFT_OUT ? 0 : factor * dy[i])
              + (slope == 0 ? 0 : slope * distance)
              + offset;
      values[i] = flaw == Flaw.IN_SIXTEEN_BITS ? rounded(line) : line;
    }
    if (flaw == Flaw.LAST_ELEMENT_UNWRITTEN) {
      values[values.length - 1] = last;
    }
    return values;
  }

  /** To the 11 digits of half precision. */
  private static double rounded(double value) {
    double unit = Math.ulp((float) value) * 0x1p13;
    return Math.rint(value / unit) * unit;
  }

  private double slope(double @Nullable [] slopes, int at, double factor) {
    if (slopes == null || flaw == Flaw.SLOPE_LEFT_OUT) {
      return 0;
    }
    return flaw == Flaw.SLOPE_TAKEN_FOR_FACTOR ? factor : slopes[at];
  }
}
