package dev.vbn.examples.gan;

import dev.vbn.examples.picture.ProgressBar;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Trains the same generative adversarial network three times, with virtual batch normalization in
 * the generator, with batch normalization and with neither, and draws what came of it.
 */
public final class GanExample {
  private static final int SAMPLES = 100;
  private static final int WATCHED = 8;
  private static final int BATCHES = 6;
  private static final long SAMPLE_SEED = 3;
  private static final long COMPANION_SEED = 100;

  private GanExample() {}

  /** Arguments: the directory to write to (default {@code gan}), and optionally {@code --short}. */
  public static void main(String[] arguments) throws IOException {
    Path directory = Path.of("gan");
    GanSettings settings = GanSettings.FULL;
    for (String argument : arguments) {
      if (argument.equals("--short")) {
        settings = GanSettings.SHORT;
      } else if (argument.startsWith("-")) {
        System.err.println("usage: gan [--short] [DIRECTORY]");
        System.exit(2);
      } else {
        directory = Path.of(argument);
      }
    }
    run(settings, directory, System.out, new ProgressBar(System.err));
  }

  static List<NormRun> run(
      GanSettings settings, Path directory, PrintStream out, ProgressBar progress)
      throws IOException {
    float[][] digits = Digits.load();
    Files.createDirectories(directory);
    List<NormRun> runs = new ArrayList<>();
    for (GeneratorNorm norm : GeneratorNorm.values()) {
      runs.add(train(norm, digits, settings, progress));
    }
    GanPictures.losses(runs).write(directory.resolve("losses.svg"));
    GanPictures.digits(runs, digits).write(directory.resolve("digits.svg"));
    GanPictures.dependence(runs).write(directory.resolve("dependence.svg"));
    table(runs, out);
    out.println();
    out.println("losses.svg, digits.svg and dependence.svg are in " + directory.toAbsolutePath());
    return runs;
  }

  private static NormRun train(
      GeneratorNorm norm, float[][] digits, GanSettings settings, ProgressBar progress) {
    long start = System.nanoTime();
    List<Gan.Losses> losses = new ArrayList<>();
    try (Gan gan = new Gan(norm, digits, settings)) {
      for (int step = 1; step <= settings.steps(); step++) {
        Gan.Losses now = gan.step();
        losses.add(now);
        progress.show(norm.label(), step, settings.steps(), now.discriminator(), now.generator());
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      float[][] samples = gan.samples(SAMPLE_SEED, SAMPLES);
      float[][][] amongCompanions = new float[WATCHED][][];
      for (int i = 0; i < WATCHED; i++) {
        amongCompanions[i] = gan.sampleAmongCompanions(COMPANION_SEED + i, BATCHES);
      }
      return new NormRun(norm, losses, samples, amongCompanions, seconds);
    }
  }

  private static void table(List<NormRun> runs, PrintStream out) {
    out.println(
        "One digit's dependence on its companions in the batch, in training; 1 is full ink:");
    out.println();
    String line = "%-20s %12s %14s %12s %12s%n";
    out.printf(line, "generator", "RMS change", "largest change", "loss D / G", "seconds");
    for (NormRun run : runs) {
      Gan.Losses losses = run.lastLosses();
      out.printf(
          Locale.ROOT,
          line,
          run.norm().label(),
          number(run.dependence()),
          number(run.largestChange()),
          String.format(Locale.ROOT, "%.2f / %.2f", losses.discriminator(), losses.generator()),
          String.format(Locale.ROOT, "%.1f", run.seconds()));
    }
  }

  private static String number(double value) {
    return value == 0 ? "0" : String.format(Locale.ROOT, "%.4f", value);
  }
}
