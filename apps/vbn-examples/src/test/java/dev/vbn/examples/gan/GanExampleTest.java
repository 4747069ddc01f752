package dev.vbn.examples.gan;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import dev.vbn.examples.picture.ProgressBar;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** The example in small: a few steps of tiny networks. */
class GanExampleTest {
  @BeforeAll
  static void requireEngine() {
    try {
      Engine.getEngine("PyTorch");
    } catch (EngineException e) {
      abort("PyTorch has no natives for this platform: " + e.getMessage());
    }
  }

  @Test
  void threeNetworksAreTrainedMeasuredAndDrawn(@TempDir Path directory) throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream progress = new ByteArrayOutputStream();
    Path made = directory.resolve("made");

    List<NormRun> runs = GanExample.run(
        GanSettings.SHORT,
        made,
        new PrintStream(out, true, UTF_8),
        new ProgressBar(new PrintStream(progress, true, UTF_8)));

    assertEquals(
        List.of(GeneratorNorm.values()), runs.stream().map(NormRun::norm).toList());
    for (NormRun run : runs) {
      assertEquals(GanSettings.SHORT.steps(), run.losses().size());
      for (Gan.Losses losses : run.losses()) {
        assertTrue(Float.isFinite(losses.discriminator()), () -> run.norm() + " " + losses);
        assertTrue(Float.isFinite(losses.generator()), () -> run.norm() + " " + losses);
      }
      assertTrue(out.toString(UTF_8).contains(run.norm().label()));
      assertTrue(progress.toString(UTF_8).contains(run.norm().label()));
    }
    for (NormRun run : runs) {
      if (run.norm() == GeneratorNorm.BATCH) {
        assertTrue(run.dependence() > 0.001, () -> "dependence " + run.dependence());
      } else {
        assertEquals(0, run.dependence(), run.norm().label());
        assertEquals(0, run.largestChange(), run.norm().label());
      }
    }
    for (String name : List.of("losses.svg", "digits.svg", "dependence.svg")) {
      Document svg = DocumentBuilderFactory.newInstance()
          .newDocumentBuilder()
          .parse(made.resolve(name).toFile());
      for (NormRun run : runs) {
        assertTrue(svg.getDocumentElement().getTextContent().contains(run.norm().label()), name);
      }
      assertTrue(colours(svg) > 3, name);
    }
  }

  private static int colours(Document svg) {
    Set<String> colours = new HashSet<>();
    for (String shape : List.of("rect", "polyline")) {
      NodeList shapes = svg.getElementsByTagName(shape);
      for (int i = 0; i < shapes.getLength(); i++) {
        colours.add(((Element) shapes.item(i)).getAttribute("fill"));
        colours.add(((Element) shapes.item(i)).getAttribute("stroke"));
      }
    }
    return colours.size();
  }

  @Test
  void theSameSeedTrainsTheSameNetwork() throws IOException {
    float[][] samples = new float[2][];
    for (int i = 0; i < 2; i++) {
      try (Gan gan = new Gan(GeneratorNorm.VIRTUAL, Digits.load(), GanSettings.SHORT)) {
        gan.step();
        samples[i] = gan.samples(1, 1)[0];
      }
    }
    assertEquals(Arrays.toString(samples[0]), Arrays.toString(samples[1]));
  }
}
