package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import dev.vbn.reference.ReferenceProvider;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code vbn demo} and {@code vbn backends} show. */
class DemoTest {
  @TempDir
  Path directory;

  @Test
  void tabulatesEveryVariantAndDrawsThem() throws IOException {
    Path picture = directory.resolve("digits.png");
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

    BufferedImage image = ImageIO.read(picture.toFile());
    assertNotNull(image, "not a PNG");
    Set<Integer> colours = new HashSet<>();
    for (int y = 0; y < image.getHeight(); y++) {
      for (int x = 0; x < image.getWidth(); x++) {
        colours.add(image.getRGB(x, y));
      }
    }
    assertTrue(colours.size() > 100, "colours: " + colours.size());
    assertEquals(Set.of("digits.png"), CommandLine.contents(directory).keySet());
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
