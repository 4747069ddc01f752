package dev.vbn.state;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Reads and writes <a href="https://github.com/huggingface/safetensors">safetensors</a>: 8 bytes of
 * length, a JSON header, and the data of the tensors, all little endian.
 *
 * <p>F32 and F64 are read as they are, F16 and BF16 as float32; other types are refused where they
 * are wanted. F32 and F64 are written. Everything a header says is checked before memory is taken
 * for it.
 */
public final class Safetensors {
  /** Of the header: room for some 40,000 tensors. */
  private static final int MAX_HEADER_BYTES = 1 << 22;

  private static final int ALIGNMENT = 8;
  private static final JsonFactory JSON = new JsonFactory();

  private Safetensors() {}

  /**
   * Reads a file.
   *
   * @throws StateException if the file is not whole, or has a tensor of a type not read here
   * @throws IOException if the file cannot be read
   */
  public static NamedTensors read(Path file) throws IOException {
    return read(file, name -> true);
  }

  /**
   * Reads a file's texts and those of its tensors that are wanted: for instance one layer of a
   * large network.
   *
   * @param wanted by name
   * @throws StateException if the file is not whole, or a wanted tensor is of a type not read here
   * @throws IOException if the file cannot be read
   */
  public static NamedTensors read(Path file, Predicate<String> wanted) throws IOException {
    String source = file.toString();
    try (InputStream in = Files.newInputStream(file)) {
      SafetensorsHeader header = readHeader(file, in);
      NamedTensors result = readData(header, in, wanted, Files.isRegularFile(file), source);
      if (in.read() >= 0) {
        throw new StateException(source + ": goes on behind its last tensor; expected "
            + header.dataBytes() + " bytes of data");
      }
      return result;
    }
  }

  private static SafetensorsHeader readHeader(Path file, InputStream in) throws IOException {
    String source = file.toString();
    long bytes = Files.isRegularFile(file) ? Files.size(file) : Long.MAX_VALUE;
    byte[] json = readHeader(in.readNBytes(Long.BYTES), in, bytes, source);
    SafetensorsHeader header = SafetensorsHeader.parse(json, source);
    long dataBytes = bytes - Long.BYTES - json.length;
    if (bytes != Long.MAX_VALUE && dataBytes != header.dataBytes()) {
      throw new StateException(source + ": " + dataBytes + " bytes of data; expected "
          + header.dataBytes() + ", as the header says");
    }
    return header;
  }

  /**
   * Reads one file's worth from a stream of several, which stays open: the file ends at the largest
   * offset.
   *
   * @throws EOFException if the stream has ended before the first byte
   * @throws StateException as {@link #read(Path)}
   * @throws IOException if the stream cannot be read
   */
  public static NamedTensors read(InputStream in) throws IOException {
    return read(in, Long.MAX_VALUE);
  }

  /**
   * As {@link #read(InputStream)}, from a stream whose sizes are not trusted.
   *
   * @param maxBytes of data: if the header promises more, none of it is read
   */
  public static NamedTensors read(InputStream in, long maxBytes) throws IOException {
    byte[] length = in.readNBytes(Long.BYTES);
    if (length.length == 0) {
      throw new EOFException("the stream has ended; expected safetensors");
    }
    byte[] json = readHeader(length, in, Long.MAX_VALUE, "stream");
    SafetensorsHeader header = SafetensorsHeader.parse(json, "stream");
    if (header.dataBytes() > maxBytes) {
      throw new StateException("stream: header of " + header.dataBytes()
          + " bytes of data; expected at most " + maxBytes);
    }
    return readData(header, in, name -> true, false, "stream");
  }

  private static byte[] readHeader(byte[] lengthBytes, InputStream in, long bytes, String source)
      throws IOException {
    if (lengthBytes.length < Long.BYTES) {
      throw new StateException(source + ": " + lengthBytes.length
          + " bytes; expected 8 of a header's length and the header");
    }
    long length = ByteBuffer.wrap(lengthBytes).order(ByteOrder.LITTLE_ENDIAN).getLong();
    if (length < 0 || length > MAX_HEADER_BYTES) {
      throw new StateException(source + ": header of " + Long.toUnsignedString(length)
          + " bytes; expected at most " + MAX_HEADER_BYTES + " of safetensors");
    }
    if (length > bytes - Long.BYTES) {
      throw new StateException(source + ": header of " + length + " bytes in a file of " + bytes
          + "; expected a whole one");
    }
    byte[] json = in.readNBytes((int) length);
    if (json.length < length) {
      throw new StateException(
          source + ": " + json.length + " bytes of header; expected " + length);
    }
    return json;
  }

  /**
   * Reads the tensors that are wanted.
   *
   * @param whole whether all the data that the header promises are known to be there
   */
  private static NamedTensors readData(
      SafetensorsHeader header,
      InputStream in,
      Predicate<String> wanted,
      boolean whole,
      String source)
      throws IOException {
    Set<SafetensorsHeader.Entry> chosen = new LinkedHashSet<>();
    long bytes = 0;
    for (SafetensorsHeader.Entry entry : header.entries()) {
      if (wanted.test(entry.name())) {
        chosen.add(entry);
        bytes += entry.end() - entry.begin();
      }
    }
    if (whole && bytes > Runtime.getRuntime().maxMemory()) {
      throw new StateException(source + ": " + Elements.beyondHeap(bytes));
    }
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    for (SafetensorsHeader.Entry entry : header.entries()) {
      if (chosen.contains(entry)) {
        tensors.put(entry.name(), readTensor(entry, in, whole, source));
      } else {
        skip(in, entry.end() - entry.begin(), entry, source);
      }
    }
    return new NamedTensors(tensors, header.texts());
  }

  private static void skip(InputStream in, long bytes, SafetensorsHeader.Entry entry, String source)
      throws IOException {
    try {
      in.skipNBytes(bytes);
    } catch (EOFException e) {
      throw cut(entry, source);
    }
  }

  private static HostTensor readTensor(
      SafetensorsHeader.Entry entry, InputStream in, boolean whole, String source)
      throws IOException {
    String what = source + ": tensor '" + NpyHeader.printable(entry.name()) + "'";
    DType dtype = switch (entry.dtype()) {
      case "F32" -> DType.FLOAT32;
      case "F64" -> DType.FLOAT64;
      case "F16" -> DType.FLOAT16;
      case "BF16" -> DType.BFLOAT16;
      default ->
        throw new StateException(
            what + " has dtype " + entry.dtype() + "; expected F32, F64, F16 or BF16");
    };
    long elements = (entry.end() - entry.begin()) / Elements.bytes(dtype);
    if (elements > NpyHeader.MAX_ELEMENTS) {
      throw new StateException(
          what + " has " + elements + " elements; expected at most " + NpyHeader.MAX_ELEMENTS);
    }
    try {
      HostTensor read = Elements.read(
          in, dtype, ByteOrder.LITTLE_ENDIAN, (int) elements, whole, got -> cut(entry, source));
      return Elements.shaped(read, entry.shape());
    } catch (OutOfMemoryError e) { // of a large array: there is room for all else
      throw new StateException(what + ": " + Elements.beyondHeap(entry.end() - entry.begin()), e);
    }
  }

  private static StateException cut(SafetensorsHeader.Entry entry, String source) {
    return new StateException(source + ": ends within tensor '"
        + NpyHeader.printable(entry.name()) + "'; expected " + (entry.end() - entry.begin())
        + " bytes of it");
  }

  /**
   * Writes a file, or replaces it when all is written. The same tensors give the same bytes.
   *
   * @throws IOException if the file cannot be written; what was there before is still there
   */
  public static void write(Path file, NamedTensors content) throws IOException {
    StagedFiles.write(file, out -> write(out, content));
  }

  /**
   * Writes to a stream, which stays open and is not flushed.
   *
   * @throws IOException if the stream cannot be written
   */
  public static void write(OutputStream out, NamedTensors content) throws IOException {
    byte[] header = header(content);
    out.write(ByteBuffer.allocate(Long.BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(header.length)
        .array());
    out.write(header);
    for (HostTensor tensor : content.tensors().values()) {
      Elements.write(out, tensor);
    }
  }

  private static byte[] header(NamedTensors content) throws IOException {
    ByteArrayOutputStream json = new ByteArrayOutputStream();
    try (JsonGenerator generator = JSON.createGenerator(json)) {
      generator.writeStartObject();
      if (!content.texts().isEmpty()) {
        generator.writeObjectFieldStart(SafetensorsHeader.METADATA);
        for (Map.Entry<String, String> text : content.texts().entrySet()) {
          generator.writeStringField(text.getKey(), text.getValue());
        }
        generator.writeEndObject();
      }
      long at = 0;
      for (Map.Entry<String, HostTensor> named : content.tensors().entrySet()) {
        if (named.getKey().equals(SafetensorsHeader.METADATA)) {
          throw new IllegalArgumentException(
              "a tensor is named " + SafetensorsHeader.METADATA + "; expected another name");
        }
        HostTensor tensor = named.getValue();
        long end = at + (long) tensor.size() * Elements.bytes(tensor.dtype());
        generator.writeObjectFieldStart(named.getKey());
        generator.writeStringField("dtype", tensor.dtype() == DType.FLOAT64 ? "F64" : "F32");
        generator.writeFieldName("shape");
        long[] shape = tensor.shape();
        generator.writeArray(shape, 0, shape.length);
        generator.writeFieldName("data_offsets");
        generator.writeArray(new long[] {at, end}, 0, 2);
        generator.writeEndObject();
        at = end;
      }
      generator.writeEndObject();
    }
    // Spaces, so that the data are aligned in memory.
    int padding = -json.size() & (ALIGNMENT - 1);
    json.write(" ".repeat(padding).getBytes(UTF_8));
    if (json.size() > MAX_HEADER_BYTES) {
      throw new IllegalArgumentException("header would be " + json.size()
          + " bytes; expected names and texts of at most " + MAX_HEADER_BYTES);
    }
    if (content.texts().size() > SafetensorsHeader.MAX_TEXTS) {
      throw new IllegalArgumentException(
          content.texts().size() + " texts; expected at most " + SafetensorsHeader.MAX_TEXTS);
    }
    return json.toByteArray();
  }
}
