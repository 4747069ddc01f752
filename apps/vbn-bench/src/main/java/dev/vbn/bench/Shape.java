package dev.vbn.bench;

import static java.util.stream.Collectors.joining;

import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import picocli.CommandLine.TypeConversionException;

/** Lengths of a batch's axes: examples, features, positions. Elements are of 32 bits. */
record Shape(List<Integer> lengths) implements Serializable {
  private static final int LEAST_RANK = 2;
  private static final int LARGEST_RANK = 5;
  private static final long LARGEST_SIZE = 1 << 28; // 1 GB

  Shape {
    lengths = List.copyOf(lengths);
  }

  static Shape of(Integer... lengths) {
    return new Shape(List.of(lengths));
  }

  /**
   * The shape written as {@code 64,16,8192}.
   *
   * @throws TypeConversionException if it is no shape that can be measured
   */
  static Shape parse(String text) {
    List<Integer> lengths;
    try {
      lengths = Arrays.stream(text.split(",", -1))
          .map(String::strip)
          .map(Integer::valueOf)
          .toList();
    } catch (NumberFormatException e) {
      throw refused(text, "is no list of numbers");
    }
    if (lengths.size() < LEAST_RANK || lengths.size() > LARGEST_RANK) {
      throw refused(text, "has rank " + lengths.size());
    }
    if (lengths.stream().anyMatch(length -> length < 1)) {
      throw refused(text, "has an axis without a length");
    }
    long size = 1;
    for (int length : lengths) {
      size *= length; // at most 2^28 * 2^31
      if (size > LARGEST_SIZE) {
        throw refused(text, "has more than " + LARGEST_SIZE + " elements, which are 1 GB");
      }
    }
    return new Shape(lengths);
  }

  private static TypeConversionException refused(String text, String why) {
    return new TypeConversionException("shape '" + text + "' " + why
        + "; expected examples, features and positions such as 64,16,8192: " + LEAST_RANK + " to "
        + LARGEST_RANK + " lengths of at least 1, at most " + LARGEST_SIZE + " elements");
  }

  long[] axes() {
    return lengths.stream().mapToLong(Integer::longValue).toArray();
  }

  int examples() {
    return lengths.get(0);
  }

  int features() {
    return lengths.get(1);
  }

  long elements() {
    return lengths.stream().mapToLong(Integer::longValue).reduce(1, (a, b) -> a * b);
  }

  long bytes() {
    return Float.BYTES * elements();
  }

  /** As {@link #parse} reads it. */
  @Override
  public String toString() {
    return lengths.stream().map(String::valueOf).collect(joining(","));
  }
}
