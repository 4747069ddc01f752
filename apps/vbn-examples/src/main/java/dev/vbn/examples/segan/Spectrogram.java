package dev.vbn.examples.segan;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import javax.imageio.ImageIO;

/** Power over time and frequency as a picture: frequencies upwards, dark is loud. */
final class Spectrogram {
  private static final int FRAME = 256;
  private static final int HOP = 64;
  private static final double FLOOR = -60;

  /** Decibels of the loudest, of a frame of a sine of amplitude 0.25. */
  private static final double CEILING = 20 * Math.log10(0.25 * FRAME / 4);

  private Spectrogram() {}

  /** Power in decibels, by frames and frequencies from 0 to 4000 Hz. */
  static double[][] decibels(float[] signal) {
    int frames = (signal.length - FRAME) / HOP + 1;
    double[][] decibels = new double[frames][FRAME / 2];
    for (int frame = 0; frame < frames; frame++) {
      double[] real = new double[FRAME];
      for (int i = 0; i < FRAME; i++) {
        double window = 0.5 - 0.5 * Math.cos(2 * Math.PI * (i + 0.5) / FRAME);
        real[i] = window * signal[frame * HOP + i];
      }
      double[] imaginary = new double[FRAME];
      transform(real, imaginary);
      for (int k = 0; k < FRAME / 2; k++) {
        double power = real[k] * real[k] + imaginary[k] * imaginary[k];
        decibels[frame][k] = 10 * Math.log10(power + 1e-12);
      }
    }
    return decibels;
  }

  /** The picture as PNG. */
  static byte[] png(float[] signal) {
    double[][] decibels = decibels(signal);
    BufferedImage image =
        new BufferedImage(decibels.length, FRAME / 2, BufferedImage.TYPE_BYTE_GRAY);
    for (int x = 0; x < decibels.length; x++) {
      for (int k = 0; k < FRAME / 2; k++) {
        double share = (decibels[x][k] - CEILING - FLOOR) / -FLOOR;
        // Sixteen greys: the picture is a third of the size, and nobody sees more.
        int grey = 17 * (int) Math.round(15 * (1 - Math.max(0, Math.min(1, share))));
        image.getRaster().setSample(x, FRAME / 2 - 1 - k, 0, grey);
      }
    }
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    try {
      ImageIO.write(image, "png", png);
    } catch (IOException e) { // to memory
      throw new UncheckedIOException(e);
    }
    return png.toByteArray();
  }

  /** The discrete Fourier transform in place, by halves (Cooley and Tukey 1965). */
  private static void transform(double[] real, double[] imaginary) {
    int n = real.length;
    for (int i = 1, j = 0; i < n; i++) {
      int bit = n >> 1;
      for (; (j & bit) != 0; bit >>= 1) {
        j ^= bit;
      }
      j |= bit;
      if (i < j) {
        double swap = real[i];
        real[i] = real[j];
        real[j] = swap;
      }
    }
    for (int half = 1; half < n; half *= 2) {
      for (int start = 0; start < n; start += 2 * half) {
        for (int k = 0; k < half; k++) {
          double angle = -Math.PI * k / half;
          int a = start + k;
          int b = a + half;
          double re = Math.cos(angle) * real[b] - Math.sin(angle) * imaginary[b];
          double im = Math.cos(angle) * imaginary[b] + Math.sin(angle) * real[b];
          real[b] = real[a] - re;
          imaginary[b] = imaginary[a] - im;
          real[a] += re;
          imaginary[a] += im;
        }
      }
    }
  }
}
