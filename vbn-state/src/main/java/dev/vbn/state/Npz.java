package dev.vbn.state;

import dev.vbn.tensor.HostTensor;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * The arrays of one NumPy {@code .npz}, by name without {@code .npy}: tensors of float32 and
 * float64 as in {@link Npy}, and single strings, which NumPy saves as 0-d arrays of Unicode.
 */
public final class Npz {
  // Any but the first moment of 1980: there ZipEntry also records the computer's time zone.
  private static final LocalDateTime ENTRY_TIME = LocalDateTime.of(1980, 2, 1, 0, 0);
  private static final String SUFFIX = ".npy";

  /** The most bytes that one deflated byte can unpack to. */
  private static final long LARGEST_RATIO = 1032;

  private final String source;
  private long dataBytes;
  private final Map<String, HostTensor> tensors = new LinkedHashMap<>();
  private final Map<String, String> strings = new LinkedHashMap<>();

  private Npz(String source) {
    this.source = source;
  }

  /**
   * Reads every array, stored or deflated, and checks it against its CRC.
   *
   * @param file a file of the default file system
   * @throws NpyException if the file is not a whole zip of arrays of types read here
   * @throws IOException if the file cannot be read
   */
  public static Npz read(Path file) throws IOException {
    return read(file, name -> true);
  }

  /**
   * Reads the arrays that are wanted; the others may be of any type.
   *
   * @param file a file of the default file system
   * @param wanted by name
   * @throws NpyException if the file is not a whole zip, or a wanted array is not of a type read
   *     here
   * @throws IOException if the file cannot be read
   */
  public static Npz read(Path file, Predicate<String> wanted) throws IOException {
    Npz npz = new Npz(file.toString());
    long fileBytes = Files.size(file);
    // The directory at the end, not the stream of entries: a cut file has none.
    try (ZipFile zip = new ZipFile(file.toFile())) {
      for (ZipEntry entry : npz.entries(zip)) {
        if (!entry.isDirectory() && wanted.test(name(entry))) {
          npz.readEntry(zip, entry, fileBytes);
        }
      }
    } catch (ZipException | EOFException e) {
      throw new NpyException(
          npz.source + ": not a whole zip (" + reason(e) + "); expected an .npz", e);
    }
    return npz;
  }

  /**
   * Writes a file, or replaces it when all is written: the tensors in the map's order, not
   * compressed. The same tensors give the same bytes.
   *
   * @throws IllegalArgumentException if a tensor has more than 32 axes
   * @throws IOException if the file cannot be written; what was there before is still there
   */
  public static void write(Path file, Map<String, HostTensor> tensors) throws IOException {
    StagedFiles.write(file, out -> write(out, new NamedTensors(tensors, Map.of())));
  }

  /**
   * Writes to a stream, which stays open: the tensors, and then the texts as 0-d arrays of Unicode,
   * each in the map's order, not compressed.
   *
   * @throws IllegalArgumentException if a tensor has more than 32 axes
   * @throws IOException if the stream cannot be written
   */
  public static void write(OutputStream out, NamedTensors content) throws IOException {
    // Not deflated: the bytes would depend on the zlib in use.
    ZipOutputStream zip = new ZipOutputStream(out);
    for (Map.Entry<String, HostTensor> named : content.tensors().entrySet()) {
      writeEntry(zip, named.getKey(), array -> Npy.write(array, named.getValue()));
    }
    for (Map.Entry<String, String> named : content.texts().entrySet()) {
      writeEntry(zip, named.getKey(), array -> Npy.write(array, named.getValue()));
    }
    zip.finish();
    zip.flush();
  }

  /** Goes over the array twice: a stored entry begins with its length and its CRC. */
  private static void writeEntry(ZipOutputStream zip, String name, StagedFiles.Content array)
      throws IOException {
    CRC32 crc = new CRC32();
    CountingStream counted = new CountingStream(crc);
    array.writeTo(counted);
    ZipEntry entry = new ZipEntry(name + SUFFIX);
    entry.setTimeLocal(ENTRY_TIME);
    entry.setMethod(ZipEntry.STORED);
    entry.setSize(counted.bytes);
    entry.setCrc(crc.getValue());
    zip.putNextEntry(entry);
    array.writeTo(zip);
    zip.closeEntry();
  }

  /** Counts and sums, and keeps nothing. */
  private static final class CountingStream extends OutputStream {
    private final CRC32 crc;
    private long bytes;

    CountingStream(CRC32 crc) {
      this.crc = crc;
    }

    @Override
    public void write(int value) {
      crc.update(value);
      bytes++;
    }

    @Override
    public void write(byte[] values, int offset, int length) {
      crc.update(values, offset, length);
      bytes += length;
    }
  }

  /** The tensors in the order of the file; cannot be changed. */
  public Map<String, HostTensor> tensors() {
    return Collections.unmodifiableMap(tensors);
  }

  /** The strings in the order of the file; cannot be changed. */
  public Map<String, String> strings() {
    return Collections.unmodifiableMap(strings);
  }

  /**
   * The tensor of that name.
   *
   * @throws NpyException if there is none
   */
  public HostTensor tensor(String name) throws NpyException {
    HostTensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new NpyException(source + ": no tensor '" + name + "'; expected one of "
          + NpyHeader.printable(tensors.keySet().toString()));
    }
    return tensor;
  }

  /**
   * The string of that name.
   *
   * @throws NpyException if there is none
   */
  public String string(String name) throws NpyException {
    String string = strings.get(name);
    if (string == null) {
      throw new NpyException(source + ": no string '" + name + "'; expected one of "
          + NpyHeader.printable(strings.keySet().toString()));
    }
    return string;
  }

  private static String reason(IOException e) {
    String message = e.getMessage();
    return message == null ? "it ends early" : NpyHeader.printable(message);
  }

  private List<? extends ZipEntry> entries(ZipFile zip) throws NpyException {
    try {
      return zip.stream().toList();
    } catch (IllegalArgumentException e) { // Java 17 notices only here, and says it this way
      throw new NpyException(source + ": not a whole zip (bad entry name); expected an .npz", e);
    }
  }

  private static String name(ZipEntry entry) {
    String name = entry.getName();
    return name.endsWith(SUFFIX) ? name.substring(0, name.length() - SUFFIX.length()) : name;
  }

  private void readEntry(ZipFile zip, ZipEntry entry, long fileBytes) throws IOException {
    String name = name(entry);
    String entrySource = source + ": " + NpyHeader.printable(entry.getName());
    if (tensors.containsKey(name) || strings.containsKey(name)) {
      throw new NpyException(entrySource + ": second array of this name; expected one");
    }
    // The directory may lie: its size counts only where the file holds as many bytes.
    boolean stored = entry.getMethod() == ZipEntry.STORED && entry.getSize() <= fileBytes;
    CRC32 crc = new CRC32();
    try (InputStream in = new CheckedInputStream(zip.getInputStream(entry), crc)) {
      NpyHeader header = NpyHeader.read(in, entrySource);
      requireRoom(header, entry, fileBytes);
      if (Npy.isString(header)) {
        strings.put(name, Npy.string(header, in));
      } else {
        tensors.put(name, Npy.tensor(header, in, stored ? entry.getSize() : Npy.UNKNOWN));
      }
    } catch (ZipException | EOFException e) {
      throw new NpyException(
          entrySource + ": damaged (" + reason(e) + "); expected a whole zip entry", e);
    }
    if (crc.getValue() != entry.getCrc()) {
      throw new NpyException(String.format(
          "%s: CRC is %08x; expected %08x", entrySource, crc.getValue(), entry.getCrc()));
    }
  }

  /** Refuses what unpacks to more than it can, or to more than there is memory for. */
  private void requireRoom(NpyHeader header, ZipEntry entry, long fileBytes) throws NpyException {
    long promised = Npy.dataBytes(header);
    long atMost = LARGEST_RATIO * Math.min(entry.getCompressedSize(), fileBytes);
    if (promised > atMost) {
      throw header.dataError("at most " + atMost, promised);
    }
    dataBytes += promised;
    header.requireHeap(dataBytes);
  }
}
