package dev.vbn.bench;

import static java.util.stream.Collectors.joining;

import dev.vbn.tensor.DType;
import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.TypeConversionException;

/**
 * Lengths of a batch's axes, the examples first.
 *
 * @param axis of the features
 * @param dtype FLOAT32 or FLOAT64
 */
record Shape(List<Integer> lengths, int axis, DType dtype) implements Serializable {
  private static final int LEAST_RANK = 2;
  private static final int LARGEST_RANK = 5;
  private static final long LARGEST_SIZE = 1 << 28; // 1 GB of 32 bits
  private static final Pattern TEXT = Pattern.compile("([^@:]*)(?:@([1-4]))?(:float64)?");

  Shape {
    lengths = List.copyOf(lengths);
  }

  /** Of 32 bits, features along axis 1. */
  static Shape of(Integer... lengths) {
    return new Shape(List.of(lengths), 1, DType.FLOAT32);
  }

  /** The same with the features along another axis. */
  Shape withAxis(int otherAxis) {
    return new Shape(lengths, otherAxis, dtype);
  }

  /** The same of 64 bits. */
  Shape wide() {
    return new Shape(lengths, axis, DType.FLOAT64);
  }

  /**
   * The shape written as {@code 64,16,8192}, {@code 64,128,128,16@3} or {@code 8,64:float64}.
   *
   * @throws TypeConversionException if it is no shape that can be measured
   */
  static Shape parse(String text) {
    Matcher parts = TEXT.matcher(text);
    if (!parts.matches()) {
      throw refused(text, "is not written so");
    }
    List<Integer> lengths;
    try {
      lengths = Arrays.stream(parts.group(1).split(",", -1))
          .map(String::strip)
          .map(Integer::valueOf)
          .toList();
    } catch (NumberFormatException e) {
      throw refused(text, "is no list of numbers");
    }
    if (lengths.size() < LEAST_RANK || lengths.size() > LARGEST_RANK) {
      throw refused(text, "has rank " + lengths.size());
    }
    int axis = parts.group(2) == null ? 1 : Integer.parseInt(parts.group(2));
    if (axis >= lengths.size()) {
      throw refused(text, "has no axis " + axis);
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
    return new Shape(lengths, axis, parts.group(3) == null ? DType.FLOAT32 : DType.FLOAT64);
  }

  private static TypeConversionException refused(String text, String why) {
    return new TypeConversionException("shape '" + text + "' " + why
        + "; expected examples, features and positions such as 64,16,8192: " + LEAST_RANK + " to "
        + LARGEST_RANK + " lengths of at least 1, at most " + LARGEST_SIZE
        + " elements; behind them @3 for features along axis 3, and :float64 for 64 bits");
  }

  long[] axes() {
    return lengths.stream().mapToLong(Integer::longValue).toArray();
  }

  int examples() {
    return lengths.get(0);
  }

  int features() {
    return lengths.get(axis);
  }

  long elements() {
    return lengths.stream().mapToLong(Integer::longValue).reduce(1, (a, b) -> a * b);
  }

  long bytes() {
    return (dtype == DType.FLOAT64 ? Double.BYTES : Float.BYTES) * elements();
  }

  /** As {@link #parse} reads it. */
  @Override
  public String toString() {
    return lengths.stream().map(String::valueOf).collect(joining(","))
        + (axis == 1 ? "" : "@" + axis)
        + (dtype == DType.FLOAT64 ? ":float64" : "");
  }
}
