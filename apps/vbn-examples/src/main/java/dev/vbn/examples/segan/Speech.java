package dev.vbn.examples.segan;

import java.util.Random;

/**
 * Sounds like speech, made by a source and filters (Fant 1960): pulses of a voice that glides, through
 * resonances at the formants of vowels (Peterson and Barney 1952), hisses between them, and pauses. And
 * noise to hide it in.
 */
final class Speech {
  /** Samples per second. */
  static final int RATE = 8000;

  /** First three formants of vowels, in hertz. */
  private static final double[][] VOWELS = {
    {730, 1090, 2440},
    {270, 2290, 3010},
    {300, 870, 2240},
    {530, 1840, 2480},
    {570, 840, 2410},
    {660, 1720, 2410},
    {440, 1020, 2240},
    {640, 1190, 2390}
  };

  private static final double[] BANDWIDTHS = {70, 100, 160};
  private static final double LOUDNESS = 0.15;

  private final Random random;
  private final double pitch;
  private final double size;

  private Speech(Random random) {
    this.random = random;
    pitch = 90 + 130 * random.nextDouble();
    size = 0.9 + 0.25 * random.nextDouble();
  }

  /** Speech of one speaker, with a root mean square of 0.15. */
  static float[] clean(Random random, int samples) {
    double[] speech = new Speech(random).speak(samples);
    return scaled(speech, LOUDNESS / rms(speech));
  }

  /** Noise between white and rumbling, as loud as speech that is so many decibels above it. */
  static float[] noise(Random random, int samples, double decibels) {
    double memory = 0.95 * random.nextDouble();
    double[] noise = new double[samples];
    double last = 0;
    for (int i = 0; i < samples; i++) {
      last = memory * last + random.nextGaussian();
      noise[i] = last;
    }
    return scaled(noise, LOUDNESS * Math.pow(10, -decibels / 20) / rms(noise));
  }

  static float[] sum(float[] a, float[] b) {
    float[] sum = new float[a.length];
    for (int i = 0; i < sum.length; i++) {
      sum[i] = a[i] + b[i];
    }
    return sum;
  }

  private static float[] scaled(double[] values, double factor) {
    float[] scaled = new float[values.length];
    for (int i = 0; i < scaled.length; i++) {
      scaled[i] = (float) Math.max(-1, Math.min(1, factor * values[i]));
    }
    return scaled;
  }

  private static double rms(double[] values) {
    double sum = 0;
    for (double value : values) {
      sum += value * value;
    }
    return Math.sqrt(sum / values.length);
  }

  private double[] speak(int samples) {
    double[] speech = new double[samples];
    double[] from = VOWELS[random.nextInt(VOWELS.length)];
    int at = random.nextInt(RATE / 20);
    while (at < samples) {
      if (random.nextDouble() < 0.5) {
        int hiss = RATE / 20 + random.nextInt(RATE / 25);
        hiss(speech, at, hiss);
        at += hiss;
      }
      double[] to = VOWELS[random.nextInt(VOWELS.length)];
      int length = RATE / 9 + random.nextInt(RATE / 8);
      voice(speech, at, length, from, to);
      from = to;
      at += length;
      if (random.nextDouble() < 0.25) {
        at += RATE / 16 + random.nextInt(RATE / 8);
      }
    }
    return speech;
  }

  /** A vowel that begins near the one before it. */
  private void voice(double[] speech, int start, int length, double[] from, double[] to) {
    Resonance[] resonances = {new Resonance(), new Resonance(), new Resonance()};
    double glide = 0.85 + 0.3 * random.nextDouble();
    double phase = 0;
    double slope = 0;
    double last = 0;
    for (int i = 0; i < length && start + i < speech.length; i++) {
      double share = (double) i / length;
      phase += pitch * (1 + (glide - 1) * share) * (1 + 0.01 * random.nextGaussian()) / RATE;
      double pulse = phase >= 1 ? 1 : 0;
      phase -= pulse;
      slope = 0.9 * slope + pulse; // the glottis opens and closes smoothly
      double sound = slope - 0.95 * last + 0.003 * random.nextGaussian();
      last = slope;
      double reached = Math.min(1, 0.3 + 2 * share);
      for (int formant = 0; formant < resonances.length; formant++) {
        double frequency = size * (from[formant] + reached * (to[formant] - from[formant]));
        sound = resonances[formant].next(sound, frequency, BANDWIDTHS[formant]);
      }
      speech[start + i] += envelope(share) * sound;
    }
  }

  private void hiss(double[] speech, int start, int length) {
    Resonance resonance = new Resonance();
    double frequency = 2400 + 1200 * random.nextDouble();
    for (int i = 0; i < length && start + i < speech.length; i++) {
      double sound = resonance.next(0.05 * random.nextGaussian(), frequency, 900);
      speech[start + i] += envelope((double) i / length) * sound;
    }
  }

  private static double envelope(double share) {
    return Math.sqrt(Math.sin(Math.PI * share));
  }

  /** Two poles, with gain 1 at frequency 0 (Klatt 1980). */
  private static final class Resonance {
    private double last;
    private double beforeLast;

    double next(double input, double frequency, double bandwidth) {
      double radius = Math.exp(-Math.PI * bandwidth / RATE);
      double b = 2 * radius * Math.cos(2 * Math.PI * frequency / RATE);
      double c = -radius * radius;
      double output = (1 - b - c) * input + b * last + c * beforeLast;
      beforeLast = last;
      last = output;
      return output;
    }
  }
}
