package dev.vbn.state;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.util.Objects.requireNonNull;

import dev.vbn.tensor.HostTensor;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Predicate;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;

/**
 * Reads what PyTorch's {@code torch.save(module.state_dict(), file)} wrote: the zip of version 1.6
 * and later, and the plain file of earlier versions. No code in a file is run, and a file that
 * names anything but tensors and dictionaries of them is refused.
 *
 * <p>Tensors in nested dictionaries, as in checkpoints, are named by their path:
 * {@code model.bn1.weight}. Texts and numbers next to them become texts; the elements of lists are
 * named by their index. FloatStorage and DoubleStorage are read as they are, HalfStorage and
 * BFloat16Storage as float32; other types are refused where they are wanted, as
 * {@code num_batches_tracked} of a batch norm would be.
 */
public final class StateDict {
  private static final List<String> ENDINGS = List.of(".pt", ".pth", ".bin");

  /** Of nested dictionaries. */
  private static final int MAX_DEPTH = 64;

  private static final int MAX_NAMES = 1 << 17;

  /** Of all names and texts together: a few values may stand in many places. */
  private static final int MAX_CHARACTERS = 1 << 22;

  /** Bytes that the tensors of a small file may have together: they may repeat its elements. */
  private static final long LITTLE = 1 << 24;

  private static final BigInteger MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);
  private static final BigInteger PROTOCOL = BigInteger.valueOf(1001);

  private final String source;
  private final long fileBytes;
  private final Predicate<String> wanted;
  private final Map<String, TorchTensor> tensors = new LinkedHashMap<>();
  private final Map<String, String> texts = new LinkedHashMap<>();
  private final Map<String, TorchStorage> storages = new LinkedHashMap<>();

  /** How many of the tensors are views of a storage. */
  private final Map<String, Integer> views = new HashMap<>();

  /** What has been read so far; a storage stays until the tensors that need it are made. */
  private final Map<String, HostTensor> read = new LinkedHashMap<>();

  private int names;
  private long characters;

  private StateDict(Path file, Predicate<String> wanted) throws IOException {
    source = file.toString();
    fileBytes = Files.size(file);
    this.wanted = wanted;
  }

  /**
   * Reads a file.
   *
   * @param file a file of the default file system
   * @throws StateException if the file is not whole, or holds something else
   * @throws IOException if the file cannot be read
   */
  public static NamedTensors read(Path file) throws IOException {
    return read(file, name -> true);
  }

  /**
   * Reads a file's texts and those of its tensors that are wanted.
   *
   * @param file a file of the default file system
   * @param wanted by name
   * @throws StateException if the file is not whole, holds something else, or a wanted tensor is of a
   *     type not read here
   * @throws IOException if the file cannot be read
   */
  public static NamedTensors read(Path file, Predicate<String> wanted) throws IOException {
    StateDict dict = new StateDict(file, wanted);
    byte[] start;
    try (InputStream in = Files.newInputStream(file)) {
      start = in.readNBytes(4);
    }
    if (Arrays.equals(start, new byte[] {'P', 'K', 3, 4})) {
      dict.readZip(file);
    } else if (start.length > 1 && (start[0] & 0xff) == 0x80) {
      dict.readPlain(file);
    } else {
      throw dict.error("begins with neither a zip nor a pickle", "a state dict of PyTorch");
    }
    return dict.result();
  }

  /** Whether a file's name ends as those of PyTorch do. */
  static boolean isNamed(Path file) {
    String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    return ENDINGS.stream().anyMatch(name::endsWith);
  }

  // What a file has

  /** Names the tensors and texts, and checks the tensors that are wanted. */
  private void take(Object root) throws StateException {
    if (root instanceof TorchTensor) {
      throw error("holds a tensor", "a dictionary of tensors by their names");
    }
    take(root, "", 0);
    long bytes = 0;
    for (Map.Entry<String, TorchTensor> named : tensors.entrySet()) {
      named.getValue().check(what(named.getKey()));
      bytes += named.getValue().bytes();
    }
    long atMost = Math.max(LITTLE, 4 * fileBytes);
    if (bytes > atMost) {
      throw error(
          "has tensors of " + bytes + " bytes in a file of " + fileBytes, "at most " + atMost);
    }
    if (bytes > Runtime.getRuntime().maxMemory()) {
      throw new StateException(source + ": " + Elements.beyondHeap(bytes));
    }
  }

  private void take(Object value, String name, int depth) throws StateException {
    names++;
    if (names > MAX_NAMES) {
      throw error("has more names", "at most " + MAX_NAMES);
    }
    count(name);
    if (depth > MAX_DEPTH) {
      throw error("has a dictionary in itself, or too deep", "at most " + MAX_DEPTH + " levels");
    }
    if (value instanceof Map<?, ?> map) {
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        take(requireNonNull(entry.getValue()), path(name, entry.getKey()), depth + 1);
      }
    } else if (value instanceof List<?> list) {
      takeAll(list, name, depth);
    } else if (value instanceof Pickle.Tuple tuple) {
      takeAll(tuple.values(), name, depth);
    } else if (value instanceof TorchTensor tensor) {
      remember(tensor.storage());
      if (wanted.test(name)) {
        if (tensors.put(name, tensor) != null) {
          throw error("has two tensors '" + NpyHeader.printable(name) + "'", "one of each name");
        }
        views.merge(tensor.storage().key(), 1, Integer::sum);
      }
    } else if (value instanceof String || value instanceof Number || value instanceof Boolean) {
      String text = value.toString();
      count(text);
      texts.put(name, text);
    } else if (value != Pickle.Nothing.NONE) {
      throw error("has a function as '" + NpyHeader.printable(name) + "'", "a tensor");
    }
  }

  private void count(String text) throws StateException {
    characters += text.length();
    if (characters > MAX_CHARACTERS) {
      throw error("has names and texts of more characters", "at most " + MAX_CHARACTERS);
    }
  }

  private void takeAll(List<?> list, String name, int depth) throws StateException {
    for (int i = 0; i < list.size(); i++) {
      take(requireNonNull(list.get(i)), path(name, i), depth + 1);
    }
  }

  private static String path(String name, @Nullable Object key) {
    return name.isEmpty() ? String.valueOf(key) : name + "." + key;
  }

  private void remember(TorchStorage storage) throws StateException {
    TorchStorage before = storages.putIfAbsent(storage.key(), storage);
    if (before != null && !before.equals(storage)) {
      throw error(
          "has storage '" + NpyHeader.printable(storage.key()) + "' as " + before.elements()
              + " of " + before.type() + " and as " + storage.elements() + " of " + storage.type(),
          "the same both times");
    }
  }

  private boolean isNeeded(String key) {
    return views.containsKey(key);
  }

  private NamedTensors result() throws StateException {
    Map<String, HostTensor> result = new LinkedHashMap<>();
    try {
      tensors.forEach((name, tensor) -> {
        HostTensor elements = requireNonNull(read.get(tensor.storage().key()));
        result.put(
            name, isAlone(tensor) ? Elements.shaped(elements, tensor.size()) : tensor.of(elements));
      });
    } catch (OutOfMemoryError e) { // of large arrays: there is room for all else
      throw new StateException(source + ": " + Elements.beyondHeap(fileBytes), e);
    }
    return new NamedTensors(result, texts);
  }

  /** Whether it is the whole of its storage, and no other tensor shares that. */
  private boolean isAlone(TorchTensor tensor) {
    return tensor.isWhole()
        && Integer.valueOf(1).equals(views.get(tensor.storage().key()));
  }

  private HostTensor elements(TorchStorage storage, InputStream in, ByteOrder order)
      throws IOException {
    String what = source + ": storage '" + NpyHeader.printable(storage.key()) + "'";
    if (storage.elements() > NpyHeader.MAX_ELEMENTS) {
      throw new StateException(what + " has " + storage.elements() + " elements; expected at most "
          + NpyHeader.MAX_ELEMENTS);
    }
    try {
      return Elements.read(
          in,
          requireNonNull(storage.type().dtype()),
          order,
          (int) storage.elements(),
          true,
          got -> new StateException(what + " ends after " + got + " bytes; expected "
              + storage.elements() * storage.type().bytes()));
    } catch (OutOfMemoryError e) {
      throw new StateException(
          what + ": " + Elements.beyondHeap(storage.elements() * storage.type().bytes()), e);
    }
  }

  // The zip: a pickle, and a file for each storage

  private void readZip(Path file) throws IOException {
    try (ZipFile zip = new ZipFile(file.toFile())) {
      if (zip.size() > MAX_NAMES) {
        throw error("has " + zip.size() + " entries", "at most " + MAX_NAMES);
      }
      Map<String, ZipEntry> entries = entries(zip);
      String root = root(entries);
      if (entries.containsKey(root + "constants.pkl")) {
        throw error(
            "is a program of TorchScript",
            "a state dict, as torch.save(module.state_dict(), file) writes it");
      }
      ZipEntry pickle = requireNonNull(entries.get(root + "data.pkl"));
      try (InputStream in = open(zip, pickle, pickle.getSize())) {
        take(Pickle.read(in, source + ": data.pkl"));
      }
      ByteOrder order = byteOrder(zip, entries.get(root + "byteorder"));
      for (TorchStorage storage : storages.values()) {
        if (isNeeded(storage.key())) {
          readStorage(zip, entries.get(root + "data/" + storage.key()), storage, order);
        }
      }
    } catch (ZipException | EOFException e) {
      throw new StateException(
          source + ": not a whole zip (" + NpyHeader.printable(String.valueOf(e.getMessage()))
              + "); expected a state dict of PyTorch",
          e);
    } catch (OutOfMemoryError e) { // of the zip's directory
      throw new StateException(source + ": " + Elements.beyondHeap(fileBytes), e);
    }
  }

  /** By name; of two with one name, another reader of the zip would choose the other. */
  private Map<String, ZipEntry> entries(ZipFile zip) throws StateException {
    Map<String, ZipEntry> entries = new LinkedHashMap<>();
    try {
      for (ZipEntry entry : zip.stream().toList()) {
        if (entries.put(entry.getName(), entry) != null) {
          throw error(
              "has two entries '" + NpyHeader.printable(entry.getName()) + "'", "one of each name");
        }
      }
    } catch (IllegalArgumentException e) { // Java 17 notices only here, and says it this way
      throw new StateException(
          source + ": not a whole zip (bad entry name); expected a state dict of PyTorch", e);
    }
    return entries;
  }

  /** What all names begin with, {@code archive/} for instance. */
  private String root(Map<String, ZipEntry> entries) throws StateException {
    List<String> pickles = entries.keySet().stream()
        .filter(name -> name.equals("data.pkl") || name.endsWith("/data.pkl"))
        .toList();
    if (pickles.size() != 1) {
      throw error(
          "is a zip with " + pickles.size() + " entries data.pkl",
          "one, as torch.save(module.state_dict(), file) writes it");
    }
    return pickles.get(0).substring(0, pickles.get(0).length() - "data.pkl".length());
  }

  private void readStorage(
      ZipFile zip, @Nullable ZipEntry entry, TorchStorage storage, ByteOrder order)
      throws IOException {
    if (entry == null) {
      throw error("has no storage '" + NpyHeader.printable(storage.key()) + "'", "one");
    }
    long bytes;
    try {
      bytes = Math.multiplyExact(storage.elements(), storage.type().bytes());
    } catch (ArithmeticException e) {
      throw new StateException(
          source + ": storage '" + NpyHeader.printable(storage.key()) + "' has "
              + storage.elements() + " elements; expected what 64 bits count in bytes",
          e);
    }
    CRC32 crc = new CRC32();
    try (InputStream in = new CheckedInputStream(open(zip, entry, bytes), crc)) {
      read.put(storage.key(), elements(storage, in, order));
    }
    // 0 stands for none: torch.serialization.set_crc32_options(False)
    if (entry.getCrc() != 0 && crc.getValue() != entry.getCrc()) {
      throw error(
          String.format(
              "CRC of '%s' is %08x", NpyHeader.printable(entry.getName()), crc.getValue()),
          String.format("%08x", entry.getCrc()));
    }
  }

  /** PyTorch compresses nothing, and what is not compressed cannot unpack to more than there is. */
  private InputStream open(ZipFile zip, ZipEntry entry, long bytes) throws IOException {
    String what = "entry '" + NpyHeader.printable(entry.getName()) + "'";
    if (entry.getMethod() != ZipEntry.STORED) {
      throw error(what + " is compressed", "one that is stored, as torch.save does");
    }
    if (entry.getSize() != bytes || bytes > fileBytes) {
      throw error(
          what + " has " + entry.getSize() + " bytes in a file of " + fileBytes,
          bytes + ", as data.pkl says");
    }
    return new BufferedInputStream(requireNonNull(zip.getInputStream(entry)));
  }

  private ByteOrder byteOrder(ZipFile zip, @Nullable ZipEntry entry) throws IOException {
    if (entry == null) {
      return ByteOrder.LITTLE_ENDIAN;
    }
    String word;
    try (InputStream in = open(zip, entry, entry.getSize())) {
      word = new String(in.readNBytes(16), US_ASCII).strip();
    }
    return switch (word) {
      case "little" -> ByteOrder.LITTLE_ENDIAN;
      case "big" -> ByteOrder.BIG_ENDIAN;
      default ->
        throw error("byteorder is '" + NpyHeader.printable(word) + "'", "'little' or 'big'");
    };
  }

  // Before version 1.6: pickles one after another, and then the storages

  private void readPlain(Path file) throws IOException {
    try (CountingInput in = new CountingInput(Files.newInputStream(file))) {
      if (!MAGIC.equals(Pickle.read(in, source + ": first pickle"))) {
        throw error(
            "is a pickle of something else",
            "a state dict, as torch.save(module.state_dict(), file) writes it");
      }
      if (!PROTOCOL.equals(Pickle.read(in, source + ": second pickle"))) {
        throw error("is of another protocol of PyTorch", PROTOCOL.toString());
      }
      // The machine's sizes and its byte order; storages are little endian on every machine.
      Pickle.read(in, source + ": third pickle");
      take(Pickle.read(in, source + ": fourth pickle"));
      if (!(Pickle.read(in, source + ": fifth pickle") instanceof List<?> keys)) {
        throw error("has no list of storages", "one behind the dictionary");
      }
      for (Object key : keys) {
        TorchStorage storage = key instanceof String text ? storages.get(text) : null;
        if (storage == null) {
          throw error("has a storage that no tensor is a view of", "those of its tensors");
        }
        readStorage(in, storage);
      }
      if (in.read() >= 0) {
        throw error("goes on behind its last storage", "its end");
      }
    }
    for (TorchTensor tensor : tensors.values()) {
      if (!read.containsKey(tensor.storage().key())) {
        throw error("has no storage '" + NpyHeader.printable(tensor.storage().key()) + "'", "one");
      }
    }
  }

  private void readStorage(CountingInput in, TorchStorage storage) throws IOException {
    String what = "storage '" + NpyHeader.printable(storage.key()) + "'";
    byte[] count = in.readNBytes(Long.BYTES);
    long elements = count.length < Long.BYTES
        ? -1
        : ByteBuffer.wrap(count).order(ByteOrder.LITTLE_ENDIAN).getLong();
    if (elements != storage.elements()) {
      throw error(
          what + " has " + (elements < 0 ? "no count of" : elements) + " elements",
          storage.elements() + ", as the dictionary says");
    }
    long left = fileBytes - in.position;
    if (elements > left / storage.type().bytes()) {
      throw error(
          what + " has " + elements + " of " + storage.type() + ", and " + left
              + " bytes are left of the file",
          "a whole one");
    }
    if (isNeeded(storage.key())) {
      if (read.put(storage.key(), elements(storage, in, ByteOrder.LITTLE_ENDIAN)) != null) {
        throw error(what + " is there twice", "once");
      }
    } else {
      in.skipNBytes(elements * storage.type().bytes());
    }
  }

  /** Knows how far it has come. */
  private static final class CountingInput extends BufferedInputStream {
    private long position;

    CountingInput(InputStream in) {
      super(in);
    }

    @Override
    public synchronized int read() throws IOException {
      int value = super.read();
      position += value < 0 ? 0 : 1;
      return value;
    }

    @Override
    public synchronized int read(byte[] bytes, int offset, int length) throws IOException {
      int got = super.read(bytes, offset, length);
      position += Math.max(got, 0);
      return got;
    }

    @Override
    public synchronized long skip(long bytes) throws IOException {
      long skipped = super.skip(bytes);
      position += skipped;
      return skipped;
    }
  }

  private String what(String name) {
    return source + ": tensor '" + NpyHeader.printable(name) + "'";
  }

  private StateException error(String problem, String expected) {
    return new StateException(source + ": " + problem + "; expected " + expected);
  }
}
