package dev.vbn.state;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Files that are wrong in every way that a file can be, read by a process with a heap of 50 MB: each
 * is refused by name, and none exhausts it.
 */
final class HostileFilesTest {
  private static final String GAMMA =
      "\"gamma\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";

  /** Of what is read at most, and a little below. */
  private static final int LARGE_HEADER = (1 << 22) - 100;

  private static final long GIGABYTE = 1L << 30;

  @TempDir
  private Path folder;

  /** Reads every file of a folder, and says how each ended. */
  public static final class Reader {
    private Reader() {}

    public static void main(String[] arguments) throws IOException {
      PrintStream out = new PrintStream(System.out, true, UTF_8);
      try (Stream<Path> files = Files.list(Path.of(arguments[0]))) {
        for (Path file : files.sorted().toList()) {
          out.println(outcome(file));
        }
      }
    }

    private static String outcome(Path file) {
      try {
        if (file.toString().endsWith(".npy")) {
          Npy.read(file);
        } else {
          LayerState.load(file);
        }
        return "read " + file;
      } catch (StateException | NpyException e) {
        return "refused " + e.getMessage();
      } catch (Throwable e) {
        return "failed " + file + ": " + e;
      }
    }
  }

  @Test
  void allAreRefusedInASmallHeap() throws Exception {
    writeCuts();
    writeHeaders();
    writeTensors();
    writeLarge();
    writeZips();
    HostileStateDicts.write(folder);
    Process process = new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Xmx50m",
            "-XX:+UseSerialGC",
            "-cp",
            System.getProperty("java.class.path"),
            Reader.class.getName(),
            folder.toString())
        .redirectErrorStream(true)
        .start();
    Set<String> unseen;
    try (Stream<Path> files = Files.list(folder)) {
      unseen = files.map(Path::toString).collect(Collectors.toCollection(TreeSet::new));
    }
    for (String line :
        new String(process.getInputStream().readAllBytes(), UTF_8).lines().toList()) {
      assertTrue(line.startsWith("refused " + folder), line);
      assertTrue(line.contains("; expected "), line);
      String named = line.substring("refused ".length());
      unseen.remove(named.substring(0, named.indexOf(": ")));
    }
    assertEquals(0, process.waitFor());
    assertEquals(Set.of(), unseen);
  }

  /** Every length of every format. */
  private void writeCuts() throws IOException {
    for (String name : new String[] {
      "module.safetensors",
      "module-with-reference.npz",
      "v2.npy",
      "batch-norm.pt",
      "batch-norm-plain.pt"
    }) {
      byte[] whole = Resources.bytes(name);
      for (int length = 0; length < whole.length; length++) {
        Files.write(folder.resolve(length + "-of-" + name), Arrays.copyOf(whole, length));
      }
      byte[] longer = Arrays.copyOf(whole, whole.length + 1);
      if (!name.endsWith(".npz")
          && !name.equals("batch-norm.pt")) { // a zip may have more behind it
        Files.write(folder.resolve("longer-" + name), longer);
      }
    }
  }

  private void writeHeaders() throws IOException {
    for (int bit = 23; bit < 64; bit++) {
      write("length-" + bit, 1L << bit, "{}");
    }
    write("length-most", Long.MAX_VALUE, "{}");
    write("length-minus-1", -1, "{}");
    write("no-object", "[]");
    write("two-objects", "{" + GAMMA + "}{}");
    write("duplicate", "{" + GAMMA + "," + GAMMA + "}");
    write("duplicate-field", "{" + GAMMA.replace("\"shape\"", "\"dtype\":\"F32\",\"shape\"") + "}");
    write("duplicate-metadata", "{\"__metadata__\":{},\"__metadata__\":{}," + GAMMA + "}");
    write("brackets", "{\"gamma\":" + "[".repeat(200_000));
    write("braces", "{\"a\":".repeat(200_000));
    write("brackets-everywhere", "{\"gamma\":" + "[".repeat(LARGE_HEADER - 9));
    write("long-name", "{\"" + "a".repeat(LARGE_HEADER - 10) + "\":1}");
    write("long-text", "{\"__metadata__\":{\"a\":\"" + "b".repeat(LARGE_HEADER - 30) + "\"}}");
    write("long-shape", "{" + GAMMA.replace("[2]", "[" + "1,".repeat(2_000_000) + "1]") + "}");
    write("long-number", "{" + GAMMA.replace("[2]", "[" + "9".repeat(1_000_000) + "]") + "}");
    write("many-texts", "{\"__metadata__\":{" + many(i -> "\"" + i + "\":\"\"") + "}}");
    write(
        "many-tensors",
        "{" + many(i -> "\"" + i + "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}")
            + "}");
  }

  /** As many as a header has room for, from 0 on. */
  private static String many(IntFunction<String> entry) {
    StringBuilder all = new StringBuilder(entry.apply(0));
    for (int i = 1; all.length() < LARGE_HEADER - 200; i++) {
      all.append(',').append(entry.apply(i));
    }
    return all.toString();
  }

  private void writeTensors() throws IOException {
    String beta = GAMMA.replace("gamma", "beta");
    write("overlapping", "{" + GAMMA + "," + beta.replace("[0,8]", "[4,12]") + "}");
    write("same-place", "{" + GAMMA + "," + beta + "}");
    write("gap", "{" + GAMMA + "," + beta.replace("[0,8]", "[12,20]") + "}");
    write("backwards", "{" + GAMMA.replace("[0,8]", "[8,0]") + "}");
    write("negative", "{" + GAMMA.replace("[0,8]", "[-8,0]") + "}");
    write(
        "beyond", "{" + GAMMA.replace("[0,8]", "[9223372036854775800,9223372036854775807]") + "}");
    write("overflowing", "{" + GAMMA.replace("[0,8]", "[0,18446744073709551624]") + "}");
    write("trailing", "{" + GAMMA.replace("[2]", "[1]").replace("[0,8]", "[0,4]") + "}");
    int number = 0;
    for (String shape : new String[] {
      "[-2]",
      "[3]",
      "[2,2]",
      "[4294967296,4294967296]",
      "[9223372036854775807,2]",
      "[4611686018427387904,4,2]",
      "[2.0]",
      "[null]",
      "2"
    }) {
      write("shape-" + number++, "{" + GAMMA.replace("[2]", shape) + "}");
    }
    for (String dtype :
        new String[] {"I32", "U32", "I64", "U64", "C64", "I16", "BOOL", "F33", ""}) {
      long bytes =
          dtype.endsWith("64") ? 16 : dtype.endsWith("16") ? 4 : dtype.equals("BOOL") ? 2 : 8;
      String entry = GAMMA.replace("F32", dtype).replace("[0,8]", "[0," + bytes + "]");
      Files.write(
          folder.resolve("dtype-" + dtype + ".safetensors"),
          Arrays.copyOf(safetensors(entry.length() + 2, "{" + entry + "}"), (int)
              (8 + entry.length() + 2 + bytes)));
    }
  }

  /** Headers and data that are really there: the files have holes. */
  private void writeLarge() throws IOException {
    byte[] spaces = ByteBuffer.allocate(9)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(100_000_000)
        .put((byte) '{')
        .array();
    writeSparse("header-of-100-mb.safetensors", spaces, 100_000_008);
    for (long megabytes : new long[] {45, 49, 1024}) { // beside what else the heap holds, or alone
      long bytes = megabytes << 20;
      String entry =
          GAMMA.replace("[2]", "[" + bytes / 4 + "]").replace("[0,8]", "[0," + bytes + "]");
      String json = "{" + entry + "}";
      byte[] start = safetensors(json.length(), json);
      writeSparse(
          megabytes + "-mb.safetensors",
          Arrays.copyOf(start, start.length - 8),
          start.length - 8 + bytes);
      byte[] npy = Resources.npy(
          "{'descr': '<f4', 'fortran_order': False, 'shape': (" + bytes / 4 + ",)}", 0);
      writeSparse(megabytes + "-mb.npy", npy, npy.length + bytes);
    }
  }

  private void writeSparse(String name, byte[] start, long length) throws IOException {
    Path file = Files.write(folder.resolve(name), start);
    try (RandomAccessFile whole = new RandomAccessFile(file.toFile(), "rw")) {
      whole.setLength(length);
    }
  }

  private void writeZips() throws IOException {
    byte[] array = Resources.npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8);
    writeZip("cut-entry", "gamma.npy", Arrays.copyOf(array, array.length - 1), 0);
    writeZip("longer-entry", "gamma.npy", Arrays.copyOf(array, array.length + 1), 0);
    writeZip(
        "unpacks-to-100-mb",
        "gamma.npy",
        Resources.npy("{'descr': '<f4', 'fortran_order': False, 'shape': (26214400,)}", 0),
        100 << 20);
    writeZip(
        "unpacks-to-more-than-it-says",
        "gamma.npy",
        Resources.npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 0),
        100 << 20);
    writeZip(
        "text-of-100-mb",
        "epsilon.npy",
        Resources.npy("{'descr': '<U26214400', 'fortran_order': False, 'shape': ()}", 0),
        100 << 20);
    writeZip(
        "promise",
        "gamma.npy",
        Resources.npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + GIGABYTE + ",)}", 0),
        0);
    writeZip("no-array", "gamma.npy", "no array at all".getBytes(UTF_8), 0);
    ByteArrayOutputStream twice = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(twice)) {
      for (String name : new String[] {"gamma.npy", "gamma"}) {
        zip.putNextEntry(new ZipEntry(name));
        zip.write(array);
      }
    }
    Files.write(folder.resolve("twice.npz"), twice.toByteArray());
  }

  private void writeZip(String name, String entry, byte[] start, int zeros) throws IOException {
    byte[] chunk = new byte[1 << 20];
    try (OutputStream out = Files.newOutputStream(folder.resolve(name + ".npz"));
        ZipOutputStream zip = new ZipOutputStream(out)) {
      zip.setLevel(1);
      zip.putNextEntry(new ZipEntry(entry));
      zip.write(start);
      for (int i = 0; i < zeros; i += chunk.length) {
        zip.write(chunk);
      }
    }
  }

  private void write(String name, String json) throws IOException {
    write(name, json.getBytes(UTF_8).length, json);
  }

  private void write(String name, long headerBytes, String json) throws IOException {
    Files.write(folder.resolve(name + ".safetensors"), safetensors(headerBytes, json));
  }

  private static byte[] safetensors(long headerBytes, String json) {
    byte[] header = json.getBytes(UTF_8);
    return ByteBuffer.allocate(8 + header.length + 8)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(headerBytes)
        .put(header)
        .array();
  }
}
