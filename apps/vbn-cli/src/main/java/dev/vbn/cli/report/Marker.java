package dev.vbn.cli.report;

/** Tells things in a chart apart, by colour and, for eyes that see none, by shape. */
public final class Marker {
  private static final int COLORS = 6;

  private Marker() {}

  /** Draws the marker of the thing of that number. */
  public static void draw(Markup page, int number, double x, double y) {
    String path = switch (number % 5) {
      case 0 -> "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z"; // circle
      case 1 -> "M-3.5,-3.5h7v7h-7z"; // square
      case 2 -> "M0,-5l5,5l-5,5l-5,-5z"; // diamond
      case 3 -> "M0,-4.5l4.5,8h-9z"; // triangle
      default -> "M0,4.5l4.5,-8h-9z"; // triangle on its tip
    };
    page.empty(
        "path",
        "class",
        color(number),
        "d",
        path,
        "transform",
        "translate(" + round(x) + "," + round(y) + ")");
  }

  /** The class of its colour, in the style that reports share. */
  public static String color(int number) {
    return "c" + number % COLORS;
  }

  private static double round(double coordinate) {
    return Math.round(coordinate * 10) / 10.0;
  }
}
