package dev.vbn.cli;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.vbn.tensor.HostTensor;
import java.io.BufferedReader;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;

/**
 * Handwritten digits of 8x8 pixels, from 0 (paper) to 16 (ink): "Optical Recognition of Handwritten
 * Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0.
 */
final class Digits {
  /** Pixels along each side. */
  static final int SIDE = 8;

  /** Pixels of a digit. */
  static final int PIXELS = SIDE * SIDE;

  private final List<float[]> images = new ArrayList<>();
  private final List<Integer> labels = new ArrayList<>();

  private Digits() {}

  /** Reads them. */
  static Digits load() throws IOException {
    Digits digits = new Digits();
    try (InputStream resource = Digits.class.getResourceAsStream("digits.csv.gz")) {
      if (resource == null) {
        throw new FileNotFoundException("digits.csv.gz is not on the class path");
      }
      BufferedReader reader =
          new BufferedReader(new InputStreamReader(new GZIPInputStream(resource), US_ASCII));
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        String[] numbers = line.split(",", -1);
        float[] image = new float[PIXELS];
        for (int pixel = 0; pixel < PIXELS; pixel++) {
          image[pixel] = Float.parseFloat(numbers[pixel]);
        }
        digits.images.add(image);
        digits.labels.add(Integer.valueOf(numbers[PIXELS]));
      }
    }
    return digits;
  }

  /** How many there are. */
  int count() {
    return images.size();
  }

  /** Which digit it is, 0 to 9. */
  int label(int index) {
    return labels.get(index);
  }

  /** Its pixels row by row, 0 to 16; not a copy. */
  float[] image(int index) {
    return images.get(index);
  }

  /** The digits as a batch of shape {@code [digits, pixels]}: each pixel is a feature. */
  HostTensor batch(List<Integer> indices) {
    float[] values = new float[indices.size() * PIXELS];
    for (int i = 0; i < indices.size(); i++) {
      System.arraycopy(images.get(indices.get(i)), 0, values, i * PIXELS, PIXELS);
    }
    return HostTensor.of(values, indices.size(), PIXELS);
  }
}
