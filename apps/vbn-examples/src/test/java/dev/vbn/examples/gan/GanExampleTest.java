package dev.vbn.examples.gan;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import dev.vbn.cli.demo.Digits;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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
  void threeNetworksAreTrainedMeasuredAndDrawn(@TempDir Path directory) throws IOException {
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
    for (String name : List.of("losses.png", "digits.png", "dependence.png")) {
      BufferedImage image = ImageIO.read(made.resolve(name).toFile());
      assertNotNull(image, name);
      assertTrue(colours(image) > 3, name);
    }
  }

  private static int colours(BufferedImage image) {
    int[] pixels =
        image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
    Set<Integer> colours = new HashSet<>();
    Arrays.stream(pixels).forEach(colours::add);
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
