package dev.vbn.cli.report;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;

/** A page that needs nothing but itself, neither files nor scripts. */
public final class HtmlPage {
  private HtmlPage() {}

  /**
   * Fills a page in the look that all reports share.
   *
   * @param owner next to it are the resources {@code name.html}, which has places for
   *     {@code {{style}}}, {@code {{title}}} and {@code {{report}}}, and {@code name.css}
   */
  public static String of(Class<?> owner, String name, Markup title, Markup report)
      throws IOException {
    return resource(owner, name + ".html")
        .replace("{{style}}", resource(HtmlPage.class, "page.css") + resource(owner, name + ".css"))
        .replace("{{title}}", title.toString())
        .replace("{{report}}", report.toString()); // last: it may hold anything
  }

  private static String resource(Class<?> owner, String name) throws IOException {
    try (InputStream resource = owner.getResourceAsStream(name)) {
      if (resource == null) {
        throw new FileNotFoundException(name + " is not on the class path");
      }
      return new String(resource.readAllBytes(), UTF_8);
    }
  }
}
