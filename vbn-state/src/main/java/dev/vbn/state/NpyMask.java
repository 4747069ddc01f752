package dev.vbn.state;

import dev.vbn.tensor.Mask;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Reads masks that NumPy saved as {@code .npy}: of positions, or of lengths. */
public final class NpyMask {
  private NpyMask() {}

  /**
   * Reads the mask in a bool or uint8 array, where an element counts if it is not 0.
   *
   * @throws NpyException if the file is not exactly one such array
   * @throws IOException if the file cannot be read
   */
  public static Mask read(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      return positions(NpyHeader.read(in, file.toString()), in);
    }
  }

  /** As above, from a stream up to its end; it stays open. */
  public static Mask read(InputStream in) throws IOException {
    return positions(NpyHeader.read(in, "stream"), in);
  }

  /**
   * Reads the lengths in an int32 or int64 array of one axis.
   *
   * @throws NpyException if the file is not exactly one such array, or a length is negative
   * @throws IOException if the file cannot be read
   */
  public static Mask readLengths(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      return lengths(NpyHeader.read(in, file.toString()), in);
    }
  }

  /** As above, from a stream up to its end; it stays open. */
  public static Mask readLengths(InputStream in) throws IOException {
    return lengths(NpyHeader.read(in, "stream"), in);
  }

  private static Mask positions(NpyHeader header, InputStream in) throws IOException {
    if (!header.descr().equals("|b1") && !header.descr().equals("|u1")) {
      throw header.error(
          "dtype is '" + NpyHeader.printable(header.descr()) + "'; expected bool or uint8");
    }
    byte[] data = data(header, in, 1);
    boolean[] counts = new boolean[data.length];
    long[] shape = header.shape();
    for (int i = 0; i < data.length; i++) {
      counts[header.fortranOrder() ? rowMajorIndex(i, shape) : i] = data[i] != 0;
    }
    return Mask.of(counts, shape);
  }

  /** The place in row-major order of what is at {@code index} in column-major order. */
  private static int rowMajorIndex(int index, long[] shape) {
    int result = 0;
    int rest = index;
    for (long length : shape) {
      result = result * (int) length + rest % (int) length;
      rest /= (int) length;
    }
    return result;
  }

  private static Mask lengths(NpyHeader header, InputStream in) throws IOException {
    int size = switch (header.descr()) {
      case "<i4", ">i4" -> Integer.BYTES;
      case "<i8", ">i8" -> Long.BYTES;
      default ->
        throw header.error(
            "dtype is '" + NpyHeader.printable(header.descr()) + "'; expected int32 or int64");
    };
    if (header.shape().length != 1) {
      throw header.error(
          "lengths have shape " + Arrays.toString(header.shape()) + "; expected [examples]");
    }
    ByteBuffer data = ByteBuffer.wrap(data(header, in, size))
        .order(header.descr().charAt(0) == '<' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
    long[] lengths = new long[data.capacity() / size];
    Arrays.setAll(lengths, i -> size == Long.BYTES ? data.getLong() : data.getInt());
    try {
      return Mask.lengths(lengths);
    } catch (IllegalArgumentException e) {
      throw header.error(String.valueOf(e.getMessage()));
    }
  }

  /** All data, which grow with the bytes that arrive: a promise alone takes no memory. */
  private static byte[] data(NpyHeader header, InputStream in, int size) throws IOException {
    long bytes = header.count() * size;
    if (bytes > NpyHeader.MAX_ELEMENTS) {
      throw header.error("data is " + bytes + " bytes; expected at most " + NpyHeader.MAX_ELEMENTS);
    }
    header.requireHeap(bytes);
    byte[] data = in.readNBytes((int) bytes);
    if (data.length < bytes) {
      throw header.dataError(Integer.toString(data.length), bytes);
    }
    if (in.read() >= 0) {
      throw header.dataError("more than " + bytes, bytes);
    }
    return data;
  }
}
