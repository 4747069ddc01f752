package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import dev.vbn.reference.ReferenceProvider;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** What {@code vbn demo} and {@code vbn backends} show. */
class DemoTest {
  @TempDir
  Path directory;

  @Test
  void tabulatesEveryVariantAndDrawsThem() throws Exception {
    Path picture = directory.resolve("digits.svg");
    CommandLine run = CommandLine.run("demo", "--output", picture).succeeded();

    for (Variant variant : Variant.values()) {
      assertTrue(row(run, variant.label()).length() > 0);
    }
    assertTrue(row(run, "batch norm").contains("yes"));
    assertTrue(row(run, "live-batch").contains("% as much"));
    assertTrue(row(run, "per-example").contains("the same bits"));
    assertTrue(row(run, "reference-only").contains("the same bits"));
    assertTrue(row(run, "reference").contains("ulp"));
    assertTrue(
        run.out()
            .replaceAll("\\s+", " ")
            .contains(new ReferenceProvider().probe().description()),
        run.out());
    run.out()
        .lines()
        .filter(line -> !line.contains(picture.toString()))
        .forEach(line -> assertTrue(line.length() <= 100, line));

    Document svg =
        DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(picture.toFile());
    assertEquals("svg", svg.getDocumentElement().getTagName());
    Set<String> colours = new HashSet<>();
    NodeList pixels = svg.getElementsByTagName("rect");
    for (int i = 0; i < pixels.getLength(); i++) {
      colours.add(((Element) pixels.item(i)).getAttribute("fill"));
    }
    assertTrue(colours.size() > 100, "colours: " + colours.size());
    for (Variant variant : Variant.values()) {
      String heading = variant.label().split("(?<=-)", 2)[0];
      assertTrue(svg.getDocumentElement().getTextContent().contains(heading), heading);
    }
    assertEquals(Set.of("digits.svg"), CommandLine.contents(directory).keySet());
  }

  @Test
  void listsTheBackends() {
    CommandLine run = CommandLine.run("backends").succeeded();
    assertTrue(row(run, "reference").contains("dev.vbn.tensor.HostTensor"));
    assertTrue(row(run, "reference").contains("yes"));
  }

  @Test
  void showsHelp() {
    for (String command : new String[] {"demo", "backends", "normalize", "gradient", "conform"}) {
      assertTrue(CommandLine.run(command, "--help").succeeded().out().contains("vbn " + command));
      assertTrue(CommandLine.run("--help").succeeded().out().contains(command));
    }
  }

  /** The line of a table that starts with {@code label}. */
  private static String row(CommandLine run, String label) {
    return run.out()
        .lines()
        .filter(line -> line.startsWith("  " + label + "  "))
        .findFirst()
        .orElseThrow(() -> new AssertionError("no row '" + label + "' in:\n" + run.out()));
  }
}
