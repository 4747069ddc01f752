package dev.vbn.state;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * Reads and writes NumPy's {@code .npy}: one array of float32 or float64, of 0 to 32 axes; reads
 * float16 too, as the float32 of the same values.
 *
 * <p>Format versions 1 to 3, both byte orders and both memory orders are read; the tensor is always
 * row-major. Version 1.0, little endian and row-major is written, byte for byte as NumPy does.
 */
public final class Npy {
  static final String DTYPES = "'<f2', '>f2', '<f4', '>f4', '<f8' or '>f8'";
  /** Stands for a number of bytes that only reading them can tell. */
  static final long UNKNOWN = -1;

  /** Of a text, as in a header of safetensors: a few bytes of a zip may promise any number. */
  private static final int MAX_CHARACTERS = 1 << 20;

  private static final int TILE = 32;
  private static final int ALIGNMENT = 64;
  // Room NumPy leaves for the outermost length to grow in place.
  private static final int OUTERMOST_DIGITS = 21;

  private Npy() {}

  /**
   * Reads a file.
   *
   * @return tensor of the file's shape and type
   * @throws NpyException if the file is not exactly one array of a type read here
   * @throws IOException if the file cannot be read
   */
  public static HostTensor read(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      long bytes = Files.isRegularFile(file) ? Files.size(file) : UNKNOWN;
      NpyHeader header = NpyHeader.read(in, file.toString());
      return tensor(header, in, bytes);
    }
  }

  /**
   * Reads a stream to its end; it stays open.
   *
   * @return tensor of the array's shape and type
   * @throws NpyException if the stream is not exactly one array of a type read here
   * @throws IOException if the stream cannot be read
   */
  public static HostTensor read(InputStream in) throws IOException {
    return tensor(NpyHeader.read(in, "stream"), in, UNKNOWN);
  }

  /**
   * Writes a file, or replaces it when all is written.
   *
   * @throws IllegalArgumentException if the tensor has more than 32 axes
   * @throws IOException if the file cannot be written; what was there before is still there
   */
  public static void write(Path file, HostTensor tensor) throws IOException {
    checkRank(tensor);
    StagedFiles.write(file, out -> write(out, tensor));
  }

  /**
   * Writes to a stream, which stays open.
   *
   * @throws IllegalArgumentException if the tensor has more than 32 axes
   * @throws IOException if the stream cannot be written
   */
  public static void write(OutputStream out, HostTensor tensor) throws IOException {
    out.write(header(tensor));
    Elements.write(out, tensor);
  }

  /** Writes a text as a 0-d array of Unicode, as NumPy does. */
  static void write(OutputStream out, String text) throws IOException {
    int[] codePoints = text.codePoints().toArray();
    // NumPy has no array of empty strings: it takes one character for them.
    int length = Math.max(codePoints.length, 1);
    out.write(header("<U" + length));
    ByteBuffer data = ByteBuffer.allocate(4 * length).order(ByteOrder.LITTLE_ENDIAN);
    data.asIntBuffer().put(codePoints);
    out.write(data.array());
  }

  /**
   * Reads the data and the end of the stream.
   *
   * @param bytes length of the whole file, header included, if that many bytes exist for certain;
   *     otherwise {@link #UNKNOWN}
   */
  static HostTensor tensor(NpyHeader header, InputStream in, long bytes) throws IOException {
    DType dtype = dtype(header);
    long dataBytes = header.count() * Elements.bytes(dtype);
    if (bytes != UNKNOWN && bytes - header.length() != dataBytes) {
      throw header.dataError(Long.toString(bytes - header.length()), dataBytes);
    }
    if (bytes != UNKNOWN) {
      header.requireHeap(dataBytes);
    }
    try {
      return elements(header, dtype, in, bytes == UNKNOWN);
    } catch (OutOfMemoryError e) { // of a large array: there is room for all else
      throw header.heapError(dataBytes, e);
    }
  }

  private static DType dtype(NpyHeader header) throws NpyException {
    return switch (header.descr()) {
      case "<f2", ">f2" -> DType.FLOAT16;
      case "<f4", ">f4" -> DType.FLOAT32;
      case "<f8", ">f8" -> DType.FLOAT64;
      default ->
        throw header.error(
            "dtype is '" + NpyHeader.printable(header.descr()) + "'; expected " + DTYPES);
    };
  }

  private static HostTensor elements(
      NpyHeader header, DType dtype, InputStream in, boolean lengthUnknown) throws IOException {
    int count = (int) header.count();
    long dataBytes = (long) count * Elements.bytes(dtype);
    HostTensor elements = Elements.read(
        in,
        dtype,
        order(header),
        count,
        !lengthUnknown,
        got -> header.dataError(Long.toString(got), dataBytes));
    checkEnd(header, in, dataBytes);
    long[] shape = header.shape();
    return header.fortranOrder() && shape.length > 1 && count > 0
        ? rowMajor(elements, shape)
        : Elements.shaped(elements, shape);
  }

  private static ByteOrder order(NpyHeader header) {
    return header.descr().charAt(0) == '<' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
  }

  /**
   * Bytes of data that the header promises.
   *
   * @throws NpyException if it is not of a type read here
   */
  static long dataBytes(NpyHeader header) throws NpyException {
    return isString(header)
        ? 4L * characters(header)
        : header.count() * Elements.bytes(dtype(header));
  }

  /** Whether it is an array of Unicode. */
  static boolean isString(NpyHeader header) {
    return header.descr().startsWith("<U") || header.descr().startsWith(">U");
  }

  private static int characters(NpyHeader header) throws NpyException {
    String descr = header.descr();
    long characters;
    try {
      characters = Long.parseLong(descr, 2, descr.length(), 10);
    } catch (NumberFormatException e) {
      characters = -1;
    }
    if (characters < 0 || characters > MAX_CHARACTERS) {
      throw header.error("dtype is '" + NpyHeader.printable(descr)
          + "'; expected a length of at most " + MAX_CHARACTERS);
    }
    if (header.shape().length != 0) {
      throw header.error(
          "strings of shape " + Arrays.toString(header.shape()) + "; expected a single one, []");
    }
    return (int) characters;
  }

  /** Reads the data and the end of the stream as the text of a 0-d array of Unicode. */
  static String string(NpyHeader header, InputStream in) throws IOException {
    int characters = characters(header);
    int dataBytes = 4 * characters;
    byte[] data = in.readNBytes(dataBytes);
    if (data.length < dataBytes) {
      throw header.dataError(Integer.toString(data.length), dataBytes);
    }
    checkEnd(header, in, dataBytes);
    int[] codePoints = new int[characters];
    ByteBuffer.wrap(data).order(order(header)).asIntBuffer().get(codePoints);
    int length = codePoints.length;
    while (length > 0 && codePoints[length - 1] == 0) {
      length--;
    }
    StringBuilder text = new StringBuilder(length);
    for (int i = 0; i < length; i++) {
      int codePoint = codePoints[i];
      if (!Character.isValidCodePoint(codePoint)
          || Character.getType(codePoint) == Character.SURROGATE) {
        throw header.error("string has 0x" + Integer.toHexString(codePoint) + " at " + i
            + "; expected Unicode characters");
      }
      text.appendCodePoint(codePoint);
    }
    return text.toString();
  }

  private static void checkEnd(NpyHeader header, InputStream in, long dataBytes)
      throws IOException {
    if (in.read() >= 0) {
      throw header.dataError("more than " + dataBytes, dataBytes);
    }
  }

  private static void checkRank(HostTensor tensor) {
    int rank = tensor.shape().length;
    if (rank > NpyHeader.MAX_RANK) {
      throw new IllegalArgumentException(
          "tensor has " + rank + " axes; expected at most " + NpyHeader.MAX_RANK);
    }
  }

  private static byte[] header(HostTensor tensor) {
    checkRank(tensor);
    return header("<f" + Elements.bytes(tensor.dtype()), tensor.shape());
  }

  private static byte[] header(String descr, long... shape) {
    String axes = Arrays.stream(shape).mapToObj(Long::toString).collect(Collectors.joining(", "));
    String dict = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + axes
        + (shape.length == 1 ? "," : "") + "), }";
    if (shape.length > 0) {
      dict += " ".repeat(OUTERMOST_DIGITS - Long.toString(shape[0]).length());
    }
    int prefix = NpyHeader.MAGIC.length + 4;
    // As NumPy does: a whole 64 bytes of padding where none is needed.
    String text = dict + " ".repeat(ALIGNMENT - (prefix + dict.length() + 1) % ALIGNMENT) + "\n";
    return ByteBuffer.allocate(prefix + text.length())
        .order(ByteOrder.LITTLE_ENDIAN)
        .put(NpyHeader.MAGIC)
        .put((byte) 1)
        .put((byte) 0)
        .putShort((short) text.length())
        .put(text.getBytes(StandardCharsets.US_ASCII))
        .array();
  }

  /** The tensor of a column-major array of at least one element. */
  private static HostTensor rowMajor(HostTensor elements, long[] shape) {
    boolean single = elements.dtype() == DType.FLOAT32;
    float[] floats = single ? elements.floats() : new float[0];
    double[] doubles = single ? new double[0] : elements.doubles();
    float[] floatResult = new float[floats.length];
    double[] doubleResult = new double[doubles.length];
    int rows = (int) shape[0];
    int columns = (int) shape[shape.length - 1];
    int between = (floats.length + doubles.length) / rows / columns;
    // The first axis is consecutive in the file and the last in the result: in tiles of the two,
    // neither side leaves the cache.
    for (int k = 0; k < between; k++) {
      int source = k * rows;
      int target = rowMajorIndex(k, shape) * columns;
      for (int row0 = 0; row0 < rows; row0 += TILE) {
        int rowEnd = Math.min(row0 + TILE, rows);
        for (int column0 = 0; column0 < columns; column0 += TILE) {
          int columnEnd = Math.min(column0 + TILE, columns);
          for (int row = row0; row < rowEnd; row++) {
            for (int column = column0; column < columnEnd; column++) {
              int from = source + column * between * rows + row;
              int to = target + row * between * columns + column;
              if (single) {
                floatResult[to] = floats[from];
              } else {
                doubleResult[to] = doubles[from];
              }
            }
          }
        }
      }
    }
    return single ? HostTensor.of(floatResult, shape) : HostTensor.of(doubleResult, shape);
  }

  /** The row-major index, over the axes between first and last, of the column-major index. */
  private static int rowMajorIndex(int index, long[] shape) {
    int result = 0;
    int rest = index;
    for (int axis = 1; axis < shape.length - 1; axis++) {
      int length = (int) shape[axis];
      result = result * length + rest % length;
      rest /= length;
    }
    return result;
  }
}
