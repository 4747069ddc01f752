package dev.vbn.examples.segan;

/** How near to clean speech a signal is. */
final class Quality {
  private static final int FRAME = Speech.RATE / 31; // 32 ms
  private static final double LEAST = -10;
  private static final double MOST = 35;

  private Quality() {}

  /**
   * Segmental signal-to-noise ratio in decibels (Hansen and Pellom 1998): the mean over frames of 32
   * ms, each held between -10 and 35.
   */
  static double segmentalSnr(float[] clean, float[] signal) {
    double sum = 0;
    int frames = 0;
    for (int start = 0; start + FRAME <= clean.length; start += FRAME) {
      sum += Math.max(LEAST, Math.min(MOST, snr(clean, signal, start, start + FRAME)));
      frames++;
    }
    return sum / frames;
  }

  /** Signal-to-noise ratio in decibels. */
  static double snr(float[] clean, float[] signal) {
    return snr(clean, signal, 0, clean.length);
  }

  private static double snr(float[] clean, float[] signal, int start, int end) {
    double power = 1e-12;
    double error = 1e-12;
    for (int i = start; i < end; i++) {
      double difference = (double) signal[i] - clean[i];
      power += (double) clean[i] * clean[i];
      error += difference * difference;
    }
    return 10 * Math.log10(power / error);
  }
}
