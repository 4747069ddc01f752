package dev.vbn.state;

import static dev.vbn.state.Resources.assertAllocatesLittle;
import static dev.vbn.state.Resources.assertFloats;
import static dev.vbn.state.Resources.assertRefused;
import static dev.vbn.state.Resources.bytes;
import static dev.vbn.state.Resources.count;
import static dev.vbn.state.Resources.npy;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class NpzTest {
  private static final String META = "{\"e\": \"\u00e9\ud835\udd3c\"}";

  @TempDir
  private Path folder;

  private Path file(byte[] bytes) throws IOException {
    return Files.write(folder.resolve("a.npz"), bytes);
  }

  private Path file(String resource) throws IOException {
    return file(bytes(resource));
  }

  /** A zip of the entries, deflated. */
  private Path zip(Map<String, byte[]> entries) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(out)) {
      for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
        zip.putNextEntry(new ZipEntry(entry.getKey()));
        zip.write(entry.getValue());
      }
    }
    return file(out.toByteArray());
  }

  private static int indexOf(byte[] bytes, String text) {
    int index = new String(bytes, StandardCharsets.ISO_8859_1).indexOf(text);
    assertTrue(index >= 0);
    return index;
  }

  @ParameterizedTest
  @ValueSource(strings = {"stored.npz", "deflated.npz", "piped.npz"})
  void readsWhatNumpyWrites(String name) throws IOException {
    Npz npz = Npz.read(file(name));
    assertEquals(List.of("x", "gamma"), List.copyOf(npz.tensors().keySet()));
    assertFloats(count(6), npz.tensor("x"), 2, 3);
    assertArrayEquals(new double[] {0.5, 1.5}, npz.tensor("gamma").doubles());
    assertEquals(Map.of("meta", META), npz.strings());
    assertEquals(META, npz.string("meta"));
  }

  @Test
  void readsStringsOfBothByteOrders() throws IOException {
    assertEquals("n\u00e9", Npz.read(file("big-endian-string.npz")).string("meta"));
  }

  @Test
  void readsNoArrays() throws IOException {
    Npz npz = Npz.read(zip(Map.of()));
    assertEquals(Map.of(), npz.tensors());
    assertEquals(Map.of(), npz.strings());
  }

  @Test
  void keepsTheOrderOfTheFileAndNamesWithoutSuffix() throws IOException {
    Map<String, byte[]> entries = new LinkedHashMap<>();
    for (String name : List.of("z.npy", "dir/b.npy", "a", "a.npy.npy", "c.npy")) {
      entries.put(name, bytes("c-2x3-f4.npy"));
    }
    Npz npz = Npz.read(zip(entries));
    assertEquals(
        List.of("z", "dir/b", "a", "a.npy", "c"), List.copyOf(npz.tensors().keySet()));
  }

  @Test
  void writesWhatItReadsAlwaysTheSame() throws IOException {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("z", HostTensor.of(count(6), 2, 3));
    tensors.put("\u00e9 1/2", HostTensor.of(new double[] {-0.1}));
    tensors.put("empty", HostTensor.of(new float[0], 0, 3));
    Path file = folder.resolve("written.npz");
    TimeZone zone = TimeZone.getDefault();
    byte[] first;
    try {
      TimeZone.setDefault(TimeZone.getTimeZone("Asia/Tokyo"));
      Npz.write(file, tensors);
      first = Files.readAllBytes(file);
      TimeZone.setDefault(TimeZone.getTimeZone("America/New_York"));
      Npz.write(file, tensors);
    } finally {
      TimeZone.setDefault(zone);
    }
    assertArrayEquals(first, Files.readAllBytes(file));

    Npz npz = Npz.read(file);
    assertEquals(List.copyOf(tensors.keySet()), List.copyOf(npz.tensors().keySet()));
    assertFloats(count(6), npz.tensor("z"), 2, 3);
    assertArrayEquals(new double[] {-0.1}, npz.tensor("\u00e9 1/2").doubles());
    assertFloats(new float[0], npz.tensor("empty"), 0, 3);
    try (ZipFile zip = new ZipFile(file.toFile())) {
      byte[] entry = zip.getInputStream(zip.getEntry("z.npy")).readAllBytes();
      assertArrayEquals(bytes("c-2x3-f4.npy"), entry);
    }
  }

  @Test
  void missingFileIsNotMalformed() {
    assertThrows(NoSuchFileException.class, () -> Npz.read(folder.resolve("none.npz")));
  }

  @Test
  void refusesAbsentNames() throws IOException {
    Path file = file("stored.npz");
    Npz npz = Npz.read(file);
    assertRefused(file + ": no tensor 'y'; expected one of [x, gamma]", () -> npz.tensor("y"));
    assertRefused(
        file + ": no tensor 'meta'; expected one of [x, gamma]", () -> npz.tensor("meta"));
    assertRefused(file + ": no string 'x'; expected one of [meta]", () -> npz.string("x"));
  }

  @Test
  void refusesOtherTypes() throws IOException {
    Path file = file("integers.npz");
    assertRefused(
        file + ": label.npy: dtype is '<i8'; expected '<f2', '>f2', '<f4', '>f4', '<f8' or '>f8'",
        () -> Npz.read(file));
    file("strings.npz");
    assertRefused(
        file + ": names.npy: strings of shape [2]; expected a single one, []",
        () -> Npz.read(file));
  }

  private void assertStringRefused(String message, String descr, byte... data) throws IOException {
    byte[] npy = npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': ()}", 0);
    int start = npy.length;
    npy = Arrays.copyOf(npy, start + data.length);
    System.arraycopy(data, 0, npy, start, data.length);
    Path file = zip(Map.of("s.npy", npy));
    assertRefused(file + ": s.npy: " + message, () -> Npz.read(file));
  }

  @Test
  void refusesMalformedStrings() throws IOException {
    assertStringRefused("data is 3 bytes; expected 4 for <U1 of shape []", "<U1", new byte[3]);
    assertStringRefused(
        "data is more than 4 bytes; expected 4 for <U1 of shape []", "<U1", new byte[5]);
    for (String length : List.of("1048577", "536870909", "99999999999999999999", "-1", "", "x")) {
      assertStringRefused(
          "dtype is '<U" + length + "'; expected a length of at most 1048576", "<U" + length);
    }
    assertStringRefused(
        "string has 0x110000 at 0; expected Unicode characters",
        "<U1",
        (byte) 0,
        (byte) 0,
        (byte) 0x11,
        (byte) 0);
    assertStringRefused(
        "string has 0xd835 at 0; expected Unicode characters",
        "<U1",
        (byte) 0x35,
        (byte) 0xd8,
        (byte) 0,
        (byte) 0);
  }

  @Test
  void refusesWhatIsNoZip() throws IOException {
    Path file = file(new byte[0]);
    assertRefused(
        file + ": not a whole zip (zip file is empty); expected an .npz", () -> Npz.read(file));
    String message = ": not a whole zip (zip END header not found); expected an .npz";
    file("v2.npy");
    assertRefused(file + message, () -> Npz.read(file));
    byte[] stored = bytes("stored.npz");
    file(Arrays.copyOf(stored, stored.length - 1));
    assertRefused(file + message, () -> Npz.read(file));
  }

  @Test
  void refusesWrongCrc() throws IOException {
    byte[] stored = bytes("stored.npz");
    // The lowest byte of 0.5f, the first element: no other check can see it.
    stored[indexOf(stored, "\0\0\0?\0\0\u00c0?")] ^= 1;
    Path file = file(stored);
    // Both as zlib in Python computes them.
    assertRefused(file + ": x.npy: CRC is 4abc2fd0; expected cb994af7", () -> Npz.read(file));
  }

  @Test
  void refusesDamagedDeflatedData() throws IOException {
    byte[] deflated = bytes("deflated.npz");
    // An impossible kind of block, just after the local header of x.npy.
    deflated[indexOf(deflated, "x.npy") + 5 + 20] |= 6;
    Path file = file(deflated);
    assertRefused(
        file + ": x.npy: damaged (invalid block type); expected a whole zip entry",
        () -> Npz.read(file));
  }

  @Test
  void refusesEntriesThatAreNoArrays() throws IOException {
    Path file = zip(Map.of("readme.txt", "Read me.".getBytes(StandardCharsets.US_ASCII)));
    assertRefused(
        file + ": readme.txt: is text, as CSV is, and starts with \"Read me.\"; expected an .npy",
        () -> Npz.read(file));
    zip(Map.of("a\nb.npy", new byte[0]));
    assertRefused(
        file + ": a?b.npy: ends after 0 bytes; expected an .npy header", () -> Npz.read(file));
  }

  @Test
  void foldersAreNoArrays() throws IOException {
    Map<String, byte[]> entries = new LinkedHashMap<>();
    entries.put("dir/", new byte[0]);
    entries.put("dir/x.npy", bytes("c-2x3-f4.npy"));
    Npz npz = Npz.read(zip(entries));
    assertEquals(List.of("dir/x"), List.copyOf(npz.tensors().keySet()));
  }

  /** Java 17 finds such a name out in another place than later versions. */
  @Test
  void refusesNamesThatAreNoText() throws IOException {
    byte[] stored = bytes("stored.npz");
    for (String name : List.of("x.npy", "gamma.npy")) {
      byte[] damaged = stored.clone();
      String all = new String(damaged, StandardCharsets.ISO_8859_1);
      for (int at = all.indexOf(name); at >= 0; at = all.indexOf(name, at + 1)) {
        damaged[at] = (byte) 0xff;
      }
      Path file = file(damaged);
      NpyException e = assertThrows(NpyException.class, () -> Npz.read(file));
      assertTrue(e.getMessage().startsWith(file + ": not a whole zip ("), e.getMessage());
    }
  }

  /**
   * An entry that may well unpack to what it promises, and to more than there is memory for: empty
   * blocks stand for the megabytes that unpack to gigabytes.
   */
  @Test
  void refusesWhatUnpacksToMoreThanTheHeap() throws Throwable {
    long heap = Runtime.getRuntime().maxMemory();
    long elements = heap / 8 + 1;
    assumeTrue(elements <= 2_147_483_639L, "a heap for the longest array that there is");
    Deflater deflater = new Deflater(Deflater.BEST_COMPRESSION, true);
    byte[] header =
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + elements + ",)}", 0);
    deflater.setInput(header);
    byte[] packed = new byte[(int) (elements * 8 / 1000)];
    int done = deflater.deflate(packed, 0, packed.length, Deflater.SYNC_FLUSH);
    deflater.end();
    for (int i = done; i + 5 <= packed.length; i += 5) { // empty blocks
      packed[i + 3] = (byte) 0xff;
      packed[i + 4] = (byte) 0xff;
    }
    Path file = zipOf(packed, header.length + 8 * elements);
    packed = null;
    assertAllocatesLittle(() -> assertRefused(
        file + ": x.npy: data is " + 8 * elements
            + " bytes; expected what fits into the heap, at most " + heap
            + " bytes, which -Xmx raises",
        () -> Npz.read(file)));
  }

  /** A zip of one deflated entry, {@code x.npy}. */
  private Path zipOf(byte[] packed, long unpackedBytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(out)) {
      zip.putNextEntry(new ZipEntry("x.npy"));
    }
    byte[] empty = out.toByteArray();
    int directory = indexOf(empty, "PK\u0001\u0002");
    int data = 30 + "x.npy".length();
    ByteBuffer tail = ByteBuffer.wrap(empty, directory, empty.length - directory)
        .slice()
        .order(ByteOrder.LITTLE_ENDIAN);
    tail.putInt(20, packed.length);
    tail.putInt(24, (int) Math.min(unpackedBytes, 0xfffffffeL));
    int end = tail.capacity() - 22;
    tail.putInt(end + 16, data + packed.length);
    Path file = folder.resolve("bomb.npz");
    try (OutputStream to = Files.newOutputStream(file)) {
      to.write(empty, 0, data);
      to.write(packed);
      to.write(empty, directory, empty.length - directory);
    }
    return file;
  }

  /** No more than deflate can make of them comes out of a few bytes. */
  @Test
  void refusesWhatNoDeflatedEntryCanHold() throws IOException {
    byte[] header = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (500000,), }", 0);
    Path file = zip(Map.of("x.npy", header));
    long packed;
    try (ZipFile zip = new ZipFile(file.toFile())) {
      packed = zip.getEntry("x.npy").getCompressedSize();
    }
    assertRefused(
        file + ": x.npy: data is at most " + 1032 * packed
            + " bytes; expected 4000000 for <f8 of shape [500000]",
        () -> Npz.read(file));
  }

  @Test
  void refusesSecondArrayOfOneName() throws IOException {
    Map<String, byte[]> entries = new LinkedHashMap<>();
    entries.put("x.npy", bytes("c-2x3-f4.npy"));
    entries.put("x", bytes("c-2x3-f4.npy"));
    Path file = zip(entries);
    assertRefused(file + ": x: second array of this name; expected one", () -> Npz.read(file));
  }

  @Test
  void refusesCutAndOverlongEntries() throws IOException {
    byte[] npy = bytes("c-2x3-f4.npy");
    Path file = zip(Map.of("x.npy", Arrays.copyOf(npy, npy.length - 1)));
    assertRefused(
        file + ": x.npy: data is 23 bytes; expected 24 for <f4 of shape [2, 3]",
        () -> Npz.read(file));
    zip(Map.of("x.npy", Arrays.copyOf(npy, npy.length + 1)));
    assertRefused(
        file + ": x.npy: data is more than 24 bytes; expected 24 for <f4 of shape [2, 3]",
        () -> Npz.read(file));
  }

  /** The header promises 4 GB, and so does the zip's directory in one way or another. */
  @ParameterizedTest
  @CsvSource({"8, false, false", "8, false, true", "0, false, true", "0, true, true"})
  void refusesDataThatIsNotThere(int method, boolean lieOfStored, boolean lieOfSize)
      throws Throwable {
    byte[] npy =
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (500000000,), }", 1_000_000);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(out)) {
      ZipEntry entry = new ZipEntry("x.npy");
      entry.setMethod(method);
      entry.setSize(npy.length);
      CRC32 crc = new CRC32();
      crc.update(npy);
      entry.setCrc(crc.getValue());
      zip.putNextEntry(entry);
      zip.write(npy);
    }
    byte[] zip = out.toByteArray();
    int directory = indexOf(zip, "PK\u0001\u0002");
    ByteBuffer buffer = ByteBuffer.wrap(zip).order(ByteOrder.LITTLE_ENDIAN);
    int promised = (int) (npy.length - 1_000_000 + 4_000_000_000L);
    if (lieOfStored) {
      buffer.putInt(directory + 20, promised);
    }
    if (lieOfSize) {
      buffer.putInt(directory + 24, promised);
    }
    Path file = file(zip);
    assertAllocatesLittle(() -> assertThrows(NpyException.class, () -> Npz.read(file)));
  }

  /** Whatever bit, here every third, is wrong: the same values, another name or {@link NpyException}. */
  @ParameterizedTest
  @ValueSource(strings = {"stored.npz", "deflated.npz"})
  void damageNeverChangesValues(String name) throws IOException {
    byte[] intact = bytes(name);
    Path file = file(intact);
    for (int length = 0; length < intact.length; length++) {
      file(Arrays.copyOf(intact, length));
      assertThrows(NpyException.class, () -> Npz.read(file));
    }
    for (int bit = 0; bit < 8 * intact.length; bit += 3) {
      byte[] damaged = intact.clone();
      damaged[bit / 8] ^= (byte) (1 << bit % 8);
      file(damaged);
      try {
        Npz npz = Npz.read(file);
        List<HostTensor> tensors = List.copyOf(npz.tensors().values());
        assertEquals(2, tensors.size());
        assertFloats(count(6), tensors.get(0), 2, 3);
        assertArrayEquals(new double[] {0.5, 1.5}, tensors.get(1).doubles());
        assertEquals(List.of(META), List.copyOf(npz.strings().values()));
      } catch (NpyException e) {
        assertFalse(e.getMessage().contains("\n"));
      }
    }
  }
}
