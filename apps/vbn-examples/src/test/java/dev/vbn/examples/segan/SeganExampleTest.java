package dev.vbn.examples.segan;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.examples.picture.ProgressBar;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Random;
import javax.imageio.ImageIO;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** The example in small: a few steps of tiny networks, and what they leave. */
class SeganExampleTest {
  private static final SeganSettings SHORT = SeganSettings.SHORT;

  @BeforeAll
  static void requireEngine() {
    try {
      Engine.getEngine(SHORT.engine());
    } catch (EngineException e) {
      abort(SHORT.engine() + " has no natives for this platform: " + e.getMessage());
    }
  }

  @Test
  void whatIsTrainedIsMeasuredDrawnAndGoesOnInAnotherBackend(@TempDir Path directory)
      throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    List<SeganRun> runs = SeganExample.run(
        SHORT,
        directory,
        new PrintStream(out, true, UTF_8),
        new ProgressBar(new PrintStream(new ByteArrayOutputStream(), true, UTF_8)));

    assertEquals(
        List.of(DiscriminatorNorm.VIRTUAL, DiscriminatorNorm.BATCH, DiscriminatorNorm.NONE),
        runs.stream().map(SeganRun::norm).toList());
    int samples = (int) (SHORT.seconds() * Speech.RATE);
    float[] clean = Wav.read(directory.resolve("clean.wav"));
    float[] noisy = Wav.read(directory.resolve("noisy.wav"));
    assertEquals(samples, clean.length);
    assertEquals(5, Quality.snr(clean, noisy), 0.2);
    for (SeganRun run : runs) {
      assertLearns(run);
      float[] enhanced = Wav.read(directory.resolve(run.norm().fileName() + ".wav"));
      assertArrayEquals(run.enhanced(), enhanced, 1 / 32000f);
      assertTrue(out.toString(UTF_8).contains(run.norm().label()));
    }
    assertGoesOn(runs.get(0), directory);
    assertGoesOn(runs.get(2), directory);
    assertPictures(runs, directory);
  }

  /** The difference from the clean speech, which each batch has of its own. */
  private static void assertLearns(SeganRun run) {
    assertEquals(SHORT.steps(), run.losses().size());
    double[] differences =
        run.losses().stream().mapToDouble(Segan.Losses::difference).toArray();
    double before = Arrays.stream(differences, 0, 5).average().orElseThrow();
    double after = Arrays.stream(differences, differences.length - 5, differences.length)
        .average()
        .orElseThrow();
    assertTrue(after < 0.8 * before, run.norm() + ": from " + before + " to " + after);
    for (Segan.Losses losses : run.losses()) {
      assertTrue(Float.isFinite(losses.discriminator()), () -> run.norm() + " " + losses);
    }
  }

  /** A second program, with convolutions of its own and plain arrays, comes to the same judgement. */
  private static void assertGoesOn(SeganRun run, Path directory) throws Exception {
    float[] clean = Wav.read(directory.resolve("clean.wav"));
    float[] noisy = Wav.read(directory.resolve("noisy.wav"));
    Path state = directory.resolve(run.norm().fileName() + ".safetensors");
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open("reference", HostTensor.class)) {
      float[] again = new Judge(state, backend).of(clean, noisy);
      assertArrayEquals(run.ofClean(), again, 1e-4f);
      assertEquals(0, backend.openTensors());
    }
    assertNotEquals(run.ofClean()[0], run.ofClean()[1]);
  }

  private static void assertPictures(List<SeganRun> runs, Path directory) throws Exception {
    for (String name : List.of("losses.svg", "spectrograms.svg")) {
      Document svg = DocumentBuilderFactory.newInstance()
          .newDocumentBuilder()
          .parse(directory.resolve(name).toFile());
      for (SeganRun run : runs) {
        assertTrue(svg.getDocumentElement().getTextContent().contains(run.norm().label()), name);
      }
      NodeList images = svg.getElementsByTagName("image");
      assertEquals(name.startsWith("losses") ? 0 : 2 + runs.size(), images.getLength());
      for (int i = 0; i < images.getLength(); i++) {
        String data = ((Element) images.item(i)).getAttribute("href");
        byte[] png = Base64.getDecoder().decode(data.substring(data.indexOf(',') + 1));
        assertNotNull(ImageIO.read(new ByteArrayInputStream(png)));
      }
    }
  }

  @Test
  void theSameSeedTrainsTheSameNetwork() {
    float[][] said = Segan.speakers(SHORT);
    Segan.Losses[] losses = new Segan.Losses[2];
    for (int i = 0; i < 2; i++) {
      try (Segan gan = new Segan(DiscriminatorNorm.VIRTUAL, SHORT, said)) {
        gan.step(0);
        losses[i] = gan.step(1);
      }
    }
    assertEquals(losses[0], losses[1]);
  }

  @Test
  void qualityIsInDecibelsByFrames() {
    float[] clean = new float[1024];
    Arrays.setAll(new double[1024], i -> clean[i] = (float) Math.sin(i));
    float[] half = new float[1024];
    Arrays.setAll(new double[1024], i -> half[i] = clean[i] / 2);
    float[] firstFrames = Arrays.copyOf(clean, 512 + 4);

    assertEquals(20 * Math.log10(2), Quality.segmentalSnr(clean, half), 1e-5);
    assertEquals(20 * Math.log10(2), Quality.snr(clean, half), 1e-5);
    assertEquals(35, Quality.segmentalSnr(clean, clean), 0);
    // Two of three frames are whole; of the third all is missing.
    assertEquals(
        (35 + 35 + 0) / 3.0, Quality.segmentalSnr(clean, Arrays.copyOf(firstFrames, 1024)), 0.1);
    assertEquals(-10, Quality.segmentalSnr(new float[1024], clean), 0);
  }

  /** A tone of 1 kHz is loudest a quarter of the way up to 4 kHz. */
  @Test
  void aSpectrogramShowsFrequencies() {
    float[] tone = new float[1024];
    for (int i = 0; i < tone.length; i++) {
      tone[i] = (float) (0.25 * Math.sin(2 * Math.PI * 1000 * i / Speech.RATE));
    }
    for (double[] frame : Spectrogram.decibels(tone)) {
      int loudest = 0;
      for (int k = 0; k < frame.length; k++) {
        loudest = frame[k] > frame[loudest] ? k : loudest;
      }
      assertEquals(frame.length / 4, loudest);
      assertEquals(20 * Math.log10(0.25 * 256 / 4), frame[loudest], 0.1);
    }
  }

  /** A voice is louder at the formants of some vowel, below 1 kHz, than between the second and third. */
  @Test
  void speechHasTheSpectrumOfAVoice() {
    float[] speech = Speech.clean(new Random(1), 4 * Speech.RATE);
    double low = 0;
    double high = 0;
    for (double[] frame : Spectrogram.decibels(speech)) {
      for (int k = 0; k < frame.length; k++) {
        double hertz = (double) k * Speech.RATE / 256;
        double power = Math.pow(10, frame[k] / 10);
        low += hertz > 200 && hertz < 1000 ? power : 0;
        high += hertz > 3000 ? power : 0;
      }
    }
    assertTrue(low > 10 * high, low + " and " + high);
    double power = 0;
    for (float sample : speech) {
      power += (double) sample * sample / speech.length;
    }
    assertEquals(0.15, Math.sqrt(power), 0.02);
  }
}
