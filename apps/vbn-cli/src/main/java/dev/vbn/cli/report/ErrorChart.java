package dev.vbn.cli.report;

import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.math.BigDecimal;
import java.util.List;

/**
 * Draws the worst error of each backend, rule by rule, on a logarithmic axis: the same one for all
 * groups, so that they can be compared.
 */
final class ErrorChart {
  private static final double WIDTH = 760;
  private static final double LEFT = 112; // where the axis starts
  private static final double RIGHT = 672; // and ends; what is beyond stands to its right
  private static final double EXACT = 88;
  private static final double BEYOND = 706;
  private static final double TOP = 8;
  private static final double BELOW = 40;
  private static final double LINE = 12;
  private static final double ROW_GAP = 8;
  private static final int LEAST_EXPONENT = -2;
  private static final int LARGEST_EXPONENT = 5; // or the failed would crowd the others together

  private final List<BackendResult> backends;
  private final int lowest;
  private final int highest;

  ErrorChart(List<BackendResult> backends) {
    this.backends = backends;
    double smallest = 1;
    double largest = 1;
    for (BackendResult backend : backends) {
      for (RuleResult rule : backend.rules()) {
        double ulps = rule.worstUlps();
        if (ulps > 0 && ulps < Double.POSITIVE_INFINITY) {
          smallest = Math.min(smallest, ulps);
          largest = Math.max(largest, ulps);
        }
      }
    }
    lowest = Math.max(LEAST_EXPONENT, (int) Math.floor(Math.log10(smallest)));
    highest = Math.min(LARGEST_EXPONENT, Math.max(2, (int) Math.ceil(Math.log10(largest))));
  }

  /** Whether there is something to draw of a group. */
  boolean shows(RuleGroup group) {
    return group.rules().stream().anyMatch(rule -> lines(rule) > 0);
  }

  /** Backends whose error was measured. */
  private long lines(Rule rule) {
    return backends.stream()
        .filter(backend -> !Double.isNaN(backend.of(rule).worstUlps()))
        .count();
  }

  void draw(Markup page, RuleGroup group) {
    List<Rule> rules = group.rules().stream().filter(rule -> lines(rule) > 0).toList();
    double bottom =
        TOP + rules.stream().mapToDouble(rule -> lines(rule) * LINE + ROW_GAP).sum();
    page.open(
        "svg",
        "viewBox",
        "0 0 " + (int) WIDTH + " " + (int) (bottom + BELOW),
        "role",
        "img",
        "aria-label",
        group.title() + ": worst error of each backend in ulps, by rule; as in the table above");
    drawAxis(page, bottom);
    double y = TOP;
    for (Rule rule : rules) {
      double height = lines(rule) * LINE + ROW_GAP;
      page.empty("line", "class", "row", "x1", 0, "x2", WIDTH, "y1", y, "y2", y);
      label(page, rule.id(), 0, y + height / 2, "rule");
      double line = y + (ROW_GAP + LINE) / 2;
      for (int i = 0; i < backends.size(); i++) {
        RuleResult result = backends.get(i).of(rule);
        if (!Double.isNaN(result.worstUlps())) {
          drawError(page, result, i, line);
          line += LINE;
        }
      }
      y += height;
    }
    page.close();
  }

  private void drawError(Markup page, RuleResult result, int backend, double y) {
    double ulps = result.worstUlps();
    double x = position(ulps);
    if (ulps > 0) {
      page.empty(
          "line", "class", "stem " + Marker.color(backend), "x1", LEFT, "x2", x, "y1", y, "y2", y);
    }
    Marker.draw(page, backend, x, y);
    if (result.count(Outcome.FAILED) > 0) {
      label(page, Numbers.ulps(ulps) + " \u2717", x + 8, y, "failed");
    } else if (ulps > 0) {
      page.open("text", "class", "value", "x", round(x + 8), "y", round(y));
      page.text(Numbers.ulps(ulps));
      page.open("tspan", "dx", 5)
          .text(Numbers.percent(result.worstShareOfTolerance()))
          .close();
      page.close();
    }
  }

  private double position(double ulps) {
    if (ulps == 0) {
      return EXACT;
    }
    double exponent = Math.log10(ulps);
    return exponent > highest ? BEYOND : onAxis(Math.max(lowest, exponent));
  }

  private double onAxis(double exponent) {
    return LEFT + (RIGHT - LEFT) * (exponent - lowest) / (highest - lowest);
  }

  private void drawAxis(Markup page, double bottom) {
    page.empty("line", "class", "axis", "x1", EXACT, "x2", RIGHT, "y1", bottom, "y2", bottom);
    tick(page, EXACT, bottom, "0");
    for (int exponent = lowest; exponent <= highest; exponent++) {
      tick(page, onAxis(exponent), bottom, decade(exponent));
    }
    if (backends.stream().anyMatch(backend -> backend.worstUlps() > Math.pow(10, highest))) {
      tick(page, BEYOND, bottom, "more");
    }
    label(
        page,
        "worst error in ulps, logarithmic; beside it, the share of what is tolerated",
        (LEFT + RIGHT) / 2,
        bottom + 32,
        "title");
  }

  private static String decade(int exponent) {
    return exponent > 4
        ? "1e" + exponent
        : BigDecimal.ONE.scaleByPowerOfTen(exponent).toPlainString();
  }

  private static void tick(Markup page, double x, double bottom, String text) {
    page.empty("line", "class", "grid", "x1", x, "x2", x, "y1", TOP, "y2", bottom + 4);
    label(page, text, x, bottom + 14, "tick");
  }

  private static void label(Markup page, String text, double x, double y, String kind) {
    page.element("text", text, "class", kind, "x", round(x), "y", round(y));
  }

  private static double round(double coordinate) {
    return Math.round(coordinate * 10) / 10.0;
  }
}
