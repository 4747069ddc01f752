package dev.vbn.examples.gan;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.BufferedReader;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.util.zip.GZIPInputStream;

/**
 * Handwritten digits of 8x8 pixels: "Optical Recognition of Handwritten Digits", E. Alpaydin and C.
 * Kaynak, UCI Machine Learning Repository, CC BY 4.0.
 */
final class Digits {
  /** Pixels along each side. */
  static final int SIDE = 8;

  /** Pixels of a digit. */
  static final int PIXELS = SIDE * SIDE;

  private static final float FULL_INK = 16;

  private Digits() {}

  /** Pixels of each digit row by row, from 0 (paper) to 1 (ink). */
  static float[][] load() throws IOException {
    try (InputStream resource = Digits.class.getResourceAsStream("digits.csv.gz")) {
      if (resource == null) {
        throw new FileNotFoundException("digits.csv.gz is not on the class path");
      }
      return new BufferedReader(new InputStreamReader(new GZIPInputStream(resource), US_ASCII))
          .lines()
          .map(Digits::pixels)
          .toArray(float[][]::new);
    }
  }

  private static float[] pixels(String line) {
    String[] numbers = line.split(",", -1); // the last is the digit it shows
    float[] pixels = new float[PIXELS];
    for (int i = 0; i < PIXELS; i++) {
      pixels[i] = Float.parseFloat(numbers[i]) / FULL_INK;
    }
    return pixels;
  }
}
