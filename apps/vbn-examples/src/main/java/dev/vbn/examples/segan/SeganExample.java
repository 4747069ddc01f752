package dev.vbn.examples.segan;

import dev.vbn.examples.picture.LossPlot;
import dev.vbn.examples.picture.ProgressBar;
import dev.vbn.examples.picture.Svg;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/**
 * Trains the same speech enhancement network three times, with virtual batch normalization in the
 * discriminator, with batch normalization and with neither: draws, measures and plays what came of it.
 */
public final class SeganExample {
  private static final long TEST_SEED = 31;
  private static final double DECIBELS = 5;
  private static final double DRAWN_SECONDS = 3;

  private SeganExample() {}

  /** Arguments: the directory to write to (default {@code segan}), and options. */
  public static void main(String[] arguments) throws IOException {
    Path directory = Path.of("segan");
    SeganSettings settings = SeganSettings.FULL;
    for (String argument : arguments) {
      String value = argument.substring(argument.indexOf('=') + 1);
      if (argument.equals("--short")) {
        settings = SeganSettings.SHORT;
      } else if (argument.equals("--engine=PyTorch") || argument.equals("--engine=MXNet")) {
        settings = settings.withEngine(value);
      } else if (argument.matches("--seed=\\d{1,9}")) {
        settings = settings.withSeed(Long.parseLong(value));
      } else if (argument.matches("--steps=[1-9]\\d{0,5}")) {
        settings = settings.withSteps(Integer.parseInt(value));
      } else if (argument.startsWith("-")) {
        System.err.println(
            "usage: segan [--short] [--engine=PyTorch|MXNet] [--seed=N] [--steps=N] [DIRECTORY]");
        System.exit(2);
      } else {
        directory = Path.of(argument);
      }
    }
    run(settings, directory, System.out, new ProgressBar(System.err));
  }

  static List<SeganRun> run(
      SeganSettings settings, Path directory, PrintStream out, ProgressBar progress)
      throws IOException {
    Files.createDirectories(directory);
    float[] speech = speech(settings.seconds());
    // What is measured and judged is what can be heard, rounded to 16 bits.
    float[] clean = recorded(directory.resolve("clean.wav"), speech);
    float[] noisy =
        recorded(directory.resolve("noisy.wav"), Speech.sum(speech, noise(speech.length)));
    List<SeganRun> runs = train(settings, clean, noisy, directory, progress);
    for (SeganRun run : runs) {
      Wav.write(directory.resolve(run.norm().fileName() + ".wav"), run.enhanced());
    }
    losses(runs).write(directory.resolve("losses.svg"));
    spectrograms(runs, clean, noisy).write(directory.resolve("spectrograms.svg"));
    table(runs, clean, noisy, out);
    out.println();
    out.println("Pictures, recordings and trained networks are in " + directory.toAbsolutePath());
    return runs;
  }

  private static float[] recorded(Path file, float[] samples) throws IOException {
    Wav.write(file, samples);
    return Wav.read(file);
  }

  /** Speakers whom no training has heard, three seconds each at most. */
  private static float[] speech(double seconds) {
    float[] speech = new float[(int) (seconds * Speech.RATE)];
    Random random = new Random(TEST_SEED);
    for (int at = 0; at < speech.length; at += 3 * Speech.RATE) {
      int length = Math.min(3 * Speech.RATE, speech.length - at);
      System.arraycopy(Speech.clean(random, length), 0, speech, at, length);
    }
    return speech;
  }

  /** Another noise for each speaker. */
  private static float[] noise(int samples) {
    float[] noise = new float[samples];
    Random random = new Random(TEST_SEED + 1);
    for (int at = 0; at < samples; at += 3 * Speech.RATE) {
      int length = Math.min(3 * Speech.RATE, samples - at);
      System.arraycopy(Speech.noise(random, length, DECIBELS), 0, noise, at, length);
    }
    return noise;
  }

  /** All in turn, step by step, so that what slows the machine down for a while slows all of them. */
  private static List<SeganRun> train(
      SeganSettings settings, float[] clean, float[] noisy, Path directory, ProgressBar progress)
      throws IOException {
    DiscriminatorNorm[] norms = DiscriminatorNorm.values();
    List<Segan> gans = new ArrayList<>();
    List<SeganRun> runs = new ArrayList<>();
    try {
      float[][] said = Segan.speakers(settings);
      for (DiscriminatorNorm norm : norms) {
        gans.add(new Segan(norm, settings, said));
      }
      double[][] seconds = new double[norms.length][settings.steps()];
      Segan.Losses[][] losses = new Segan.Losses[norms.length][settings.steps()];
      for (int step = 0; step < settings.steps(); step++) {
        for (int i = 0; i < norms.length; i++) {
          long start = System.nanoTime();
          losses[i][step] = gans.get(i).step(step);
          seconds[i][step] = (System.nanoTime() - start) / 1e9;
        }
        Segan.Losses shown = losses[0][step];
        progress.show(
            norms[0].label(), step + 1, settings.steps(), shown.discriminator(), shown.generator());
      }
      for (int i = 0; i < norms.length; i++) {
        Segan gan = gans.get(i);
        float[] enhanced = gan.enhance(noisy);
        if (norms[i] != DiscriminatorNorm.BATCH) { // whose running statistics are DJL's own
          gan.save(directory.resolve(norms[i].fileName() + ".safetensors"));
        }
        runs.add(new SeganRun(
            norms[i],
            Arrays.asList(losses[i]),
            seconds[i],
            enhanced,
            gan.judge(clean, noisy),
            gan.judge(enhanced, noisy)));
      }
      return runs;
    } finally {
      gans.forEach(Segan::close);
    }
  }

  private static Svg losses(List<SeganRun> runs) {
    LossPlot plot = new LossPlot();
    for (SeganRun run : runs) {
      plot.add(
          run.norm().label(),
          run.losses().stream().mapToDouble(Segan.Losses::discriminator).toArray(),
          run.losses().stream().mapToDouble(Segan.Losses::generator).toArray());
    }
    return plot.draw();
  }

  private static Svg spectrograms(List<SeganRun> runs, float[] clean, float[] noisy) {
    int width = 720;
    int height = 150;
    Svg svg = new Svg(width + 130, 80 + (2 + runs.size()) * (height + 44));
    svg.text("Speech, from 0 to 4 kHz", 28, 42, Svg.LARGE, 0x202020);
    int top = 90;
    top = spectrogram(svg, "noisy", noisy, clean, top, width, height);
    top = spectrogram(svg, "clean", clean, clean, top, width, height);
    for (SeganRun run : runs) {
      top = spectrogram(
          svg, "enhanced, " + run.norm().label(), run.enhanced(), clean, top, width, height);
    }
    return svg;
  }

  private static int spectrogram(
      Svg svg, String title, float[] signal, float[] clean, int top, int width, int height) {
    int drawn = (int) Math.min(signal.length, DRAWN_SECONDS * Speech.RATE);
    float[] start = Arrays.copyOf(signal, drawn);
    float[] expected = Arrays.copyOf(clean, drawn);
    String quality = Arrays.equals(signal, clean)
        ? ""
        : String.format(
            Locale.ROOT, ": segmental SNR %.1f dB here", Quality.segmentalSnr(expected, start));
    svg.text(title + quality, 70, top - 8, Svg.SMALL, 0x202020);
    svg.image(Spectrogram.png(start), 70, top, width, height);
    svg.before("4 kHz", 62, top + 12, 0x707070);
    svg.before("0", 62, top + height, 0x707070);
    return top + height + 44;
  }

  private static void table(List<SeganRun> runs, float[] clean, float[] noisy, PrintStream out) {
    out.printf(
        Locale.ROOT,
        "Noisy: segmental SNR %.2f dB, SNR %.2f dB, over %.0f s of speech by other speakers.%n%n",
        Quality.segmentalSnr(clean, noisy),
        Quality.snr(clean, noisy),
        (double) clean.length / Speech.RATE);
    String line = "%-20s %14s %8s %12s %16s %10s%n";
    out.printf(
        line,
        "discriminator",
        "segmental SNR",
        "SNR",
        "difference",
        "of clean / made",
        "ms a step");
    for (SeganRun run : runs) {
      out.printf(
          line,
          run.norm().label(),
          number("%.2f dB", Quality.segmentalSnr(clean, run.enhanced())),
          number("%.2f", Quality.snr(clean, run.enhanced())),
          number("%.4f", run.lastDifference()),
          number("%.2f", Judge.mean(run.ofClean())) + " / "
              + number("%.2f", Judge.mean(run.ofEnhanced())),
          number("%.1f", 1000 * run.secondsPerStep()));
    }
  }

  private static String number(String format, double value) {
    return String.format(Locale.ROOT, format, value);
  }
}
