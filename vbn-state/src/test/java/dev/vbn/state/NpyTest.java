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
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class NpyTest {
  private static final String DTYPES = "'<f2', '>f2', '<f4', '>f4', '<f8' or '>f8'";

  @TempDir
  private Path folder;

  /** Reads by both ways: of known length and of unknown. */
  private HostTensor read(byte[] bytes) throws IOException {
    HostTensor fromFile = Npy.read(Files.write(folder.resolve("a.npy"), bytes));
    HostTensor fromStream = Npy.read(new ByteArrayInputStream(bytes));
    assertEquals(fromFile.toString(), fromStream.toString());
    assertArrayEquals(fromFile.toDoubles(), fromStream.toDoubles());
    return fromStream;
  }

  private static void assertDoubles(int length, HostTensor tensor, long... shape) {
    assertEquals(DType.FLOAT64, tensor.dtype());
    assertArrayEquals(shape, tensor.shape());
    assertArrayEquals(HostTensor.of(count(length), length).toDoubles(), tensor.doubles());
  }

  private static void assertStreamRefused(String message, byte[] bytes) {
    assertRefused("stream: " + message, () -> Npy.read(new ByteArrayInputStream(bytes)));
  }

  private void assertFileRefused(String message, byte[] bytes) throws IOException {
    Path file = Files.write(folder.resolve("a.npy"), bytes);
    assertRefused(file + ": " + message, () -> Npy.read(file));
  }

  private static String header(String shape) {
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n";
  }

  @Test
  void readsBothTypesAndByteOrders() throws IOException {
    assertFloats(count(6), read(bytes("c-2x3-f4.npy")), 2, 3);
    assertFloats(count(6), read(bytes("c-2x3-big-f4.npy")), 2, 3);
    assertDoubles(6, read(bytes("c-2x3-f8.npy")), 2, 3);
  }

  @Test
  void readsFortranOrderAsRowMajor() throws IOException {
    assertFloats(count(6), read(bytes("f-2x3-f4.npy")), 2, 3);
    assertDoubles(24, read(bytes("f-2x3x4-big-f8.npy")), 2, 3, 4);
    assertFloats(count(36), read(bytes("f-2x3x2x3-f4.npy")), 2, 3, 2, 3);
    assertFloats(count(35 * 2 * 33), read(bytes("f-35x2x33-f4.npy")), 35, 2, 33);
  }

  @ParameterizedTest
  @ValueSource(strings = {"v2.npy", "v3.npy"})
  void readsLaterVersions(String name) throws IOException {
    assertFloats(count(3), read(bytes(name)), 3);
  }

  @Test
  void readsTheLeastAndTheMostAxes() throws IOException {
    HostTensor scalar = read(bytes("scalar-f8.npy"));
    assertEquals("HostTensor FLOAT64 []", scalar.toString());
    assertArrayEquals(new double[] {-0.1}, scalar.doubles());
    long[] shape = new long[32];
    Arrays.fill(shape, 1);
    shape[31] = 2;
    assertFloats(count(2), read(bytes("rank-32-f4.npy")), shape);
    assertFloats(new float[0], read(bytes("empty-2x0x3-f4.npy")), 2, 0, 3);
    assertFloats(
        new float[0],
        read(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3)}", 0)),
        0,
        3);
  }

  @Test
  void keepsEveryBit() throws IOException {
    float[] special = new float[5];
    int[] bits = {0x00000001, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00001};
    for (int i = 0; i < bits.length; i++) {
      special[i] = Float.intBitsToFloat(bits[i]);
    }
    assertFloats(special, read(bytes("special-f4.npy")), 5);
  }

  /** More than one chunk, and more than an array of unknown length has room for at first. */
  @Test
  void readsBackManyElements() throws IOException {
    float[] floats = count(300_001);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    Npy.write(out, HostTensor.of(floats, 300_001));
    assertFloats(floats, read(out.toByteArray()), 300_001);

    out.reset();
    Npy.write(out, HostTensor.of(floats, 300_001).to(DType.FLOAT64));
    assertDoubles(300_001, read(out.toByteArray()), 300_001);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
        "{\"shape\":(2L ,) ,\"fortran_order\":False,\"descr\":\"<f4\"}",
        " { 'shape' : ( 2 , ) , 'descr' : '<f4' , 'fortran_order' : True , } \n",
      })
  void readsEveryWayToWriteTheSameHeader(String header) throws IOException {
    assertFloats(new float[2], read(npy(header, 8)), 2);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "c-2x3-f4.npy",
        "c-2x3-f8.npy",
        "scalar-f8.npy",
        "empty-2x0x3-f4.npy",
        "rank-32-f4.npy",
        "special-f4.npy",
        "padded-f4.npy",
      })
  void writesTheBytesNumpyWrites(String name) throws IOException {
    byte[] expected = bytes(name);
    HostTensor tensor = read(expected);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    Npy.write(out, tensor);
    assertArrayEquals(expected, out.toByteArray());
    Path file = folder.resolve("written.npy");
    Npy.write(file, tensor);
    assertArrayEquals(expected, Files.readAllBytes(file));
  }

  @Test
  void refusesToWriteMoreAxesThanItReads() {
    Path file = folder.resolve("written.npy");
    long[] shape = new long[33];
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class, () -> Npy.write(file, HostTensor.of(new float[0], shape)));
    assertEquals("tensor has 33 axes; expected at most 32", e.getMessage());
    assertFalse(Files.exists(file));
  }

  @Test
  void missingFileIsNotMalformed() {
    assertThrows(NoSuchFileException.class, () -> Npy.read(folder.resolve("none.npy")));
  }

  @Test
  void refusesOtherTypes() throws IOException {
    assertFileRefused("dtype is '<i8'; expected " + DTYPES, bytes("int64.npy"));
    assertFileRefused(
        "dtype is structured, [('a', '<f4'), ('b', '<i4')], "
            + "'fortran_order': False, 'shape': (2,), }; expected " + DTYPES,
        bytes("fields.npy"));
    assertStreamRefused(
        "dtype is structured, ('<f4', (2,)), 'fortran_order': False}; expected " + DTYPES,
        npy("{'shape': (), 'descr': ('<f4', (2,)), 'fortran_order': False}", 8));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "|b1", "|i1", "|u1", ">i4", "<c8", "<c16", "|O", "<U3", "|S3", "<M8[s]", "|V4", "<f16",
        "f4", "=f4", "|f4", "",
      })
  void refusesOtherDtype(String descr) {
    assertStreamRefused(
        "dtype is '" + descr + "'; expected " + DTYPES,
        npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (), }", 4));
  }

  @Test
  void refusesWhatIsNoNpy() throws IOException {
    assertFileRefused("ends after 0 bytes; expected an .npy header", new byte[0]);
    assertFileRefused(
        "ends after 7 bytes; expected an .npy header", Arrays.copyOf(bytes("v2.npy"), 7));
    assertFileRefused(
        "starts with 89 48 44 46 0d 0a; expected 93 4e 55 4d 50 59 (\\x93NUMPY)",
        new byte[] {(byte) 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'});
  }

  @Test
  void callsWhatIsNoNpyByItsName() throws IOException {
    assertFileRefused("is a zip, as an .npz is; expected an .npy", bytes("stored.npz"));
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (GZIPOutputStream gzip = new GZIPOutputStream(packed)) {
      gzip.write(bytes("c-2x3-f4.npy"));
    }
    assertFileRefused("is compressed by gzip; expected an .npy", packed.toByteArray());
    assertFileRefused(
        "is text, as CSV is, and starts with \"1.5,2.5,\"; expected an .npy",
        "1.5,2.5,3.5\n".getBytes(StandardCharsets.US_ASCII));
    assertFileRefused(
        "is text, as CSV is, and starts with \"x y\"; expected an .npy",
        "x y\r\n".getBytes(StandardCharsets.US_ASCII));
  }

  /** Every finite value, as NumPy writes it: the definition of binary16 says what each is. */
  @ParameterizedTest
  @ValueSource(strings = {"<f2", ">f2"})
  void readsHalvesAsTheFloatsThatTheyAre(String descr) throws IOException {
    ByteBuffer file = ByteBuffer.wrap(
        npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (65536,)}", 2 * 65536));
    file.order(descr.startsWith("<") ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
    int start = file.capacity() - 2 * 65536;
    for (int bits = 0; bits < 65536; bits++) {
      file.putShort(start + 2 * bits, (short) bits);
    }
    HostTensor halves = read(file.array());
    assertEquals(DType.FLOAT32, halves.dtype());
    for (int bits = 0; bits < 65536; bits++) {
      int exponent = bits >> 10 & 31;
      int fraction = bits & 1023;
      double magnitude = exponent == 31
          ? fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN
          : exponent == 0
              ? fraction * Math.pow(2, -24)
              : (1024 + fraction) * Math.pow(2, exponent - 25);
      double expected = bits < 32768 ? magnitude : -magnitude;
      assertEquals(expected, (double) halves.floats()[bits], Integer.toHexString(bits));
    }
  }

  @Test
  void readsTheHalvesOfNumpy() throws IOException {
    assertFloats(new float[] {0, 1, 2}, read(bytes("half.npy")), 3);
  }

  /** What no heap can hold is refused before any of it is read; the file has holes. */
  @Test
  void refusesMoreThanTheHeap() throws Throwable {
    long heap = Runtime.getRuntime().maxMemory();
    long elements = heap / 8 + 1;
    assumeTrue(elements <= 2_147_483_639L, "the longest array fits into this heap");
    byte[] header =
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + elements + ",)}", 0);
    Path file = Files.write(folder.resolve("large.npy"), header);
    try (RandomAccessFile whole = new RandomAccessFile(file.toFile(), "rw")) {
      whole.setLength(header.length + 8 * elements);
    }
    assertAllocatesLittle(() -> assertRefused(
        file + ": data is " + 8 * elements
            + " bytes; expected what fits into the heap, at most " + heap
            + " bytes, which -Xmx raises",
        () -> Npy.read(file)));
  }

  @ParameterizedTest
  @CsvSource({"0,0", "4,0", "1,1", "255,0"})
  void refusesOtherVersions(int major, int minor) throws IOException {
    byte[] file = bytes("c-2x3-f4.npy");
    file[6] = (byte) major;
    file[7] = (byte) minor;
    assertStreamRefused(
        "format version is " + major + "." + minor + "; expected 1.0, 2.0 or 3.0", file);
  }

  @Test
  void refusesCutHeader() throws IOException {
    assertFileRefused(
        "length of the header is cut to 1 bytes; expected 2",
        Arrays.copyOf(bytes("c-2x3-f4.npy"), 9));
    assertFileRefused(
        "length of the header is cut to 3 bytes; expected 4", Arrays.copyOf(bytes("v2.npy"), 11));
    assertFileRefused(
        "header is cut to 117 bytes; expected 118", Arrays.copyOf(bytes("c-2x3-f4.npy"), 127));
    byte[] file = bytes("v2.npy");
    Arrays.fill(file, 8, 12, (byte) 0xff);
    assertFileRefused("header of 4294967295 bytes; expected at most 65535", file);
  }

  @Test
  void refusesCutData() throws IOException {
    byte[] cut = Arrays.copyOf(bytes("c-2x3-f4.npy"), 128 + 23);
    assertFileRefused("data is 23 bytes; expected 24 for <f4 of shape [2, 3]", cut);
    assertStreamRefused("data is 23 bytes; expected 24 for <f4 of shape [2, 3]", cut);
    byte[] none = Arrays.copyOf(bytes("f-2x3x4-big-f8.npy"), 128);
    assertFileRefused("data is 0 bytes; expected 192 for >f8 of shape [2, 3, 4]", none);
    assertStreamRefused("data is 0 bytes; expected 192 for >f8 of shape [2, 3, 4]", none);
  }

  @ParameterizedTest
  @CsvSource({"c-2x3-f4.npy,24,<f4,'[2, 3]'", "empty-2x0x3-f4.npy,0,<f4,'[2, 0, 3]'"})
  void refusesBytesAfterTheData(String name, int dataBytes, String descr, String shape)
      throws IOException {
    byte[] file = bytes(name);
    byte[] longer = Arrays.copyOf(file, file.length + 1);
    String expected = " bytes; expected " + dataBytes + " for " + descr + " of shape " + shape;
    assertFileRefused("data is " + (dataBytes + 1) + expected, longer);
    assertStreamRefused("data is more than " + dataBytes + expected, longer);
  }

  @Test
  void refusesDataThatIsNotThere() throws Throwable {
    assertAllocatesLittle(this::refuseDataThatIsNotThere);
  }

  private void refuseDataThatIsNotThere() throws IOException {
    byte[] floats = npy(header("(2147483639,)"), 400_000);
    String expected = " bytes; expected 8589934556 for <f4 of shape [2147483639]";
    assertFileRefused("data is 400000" + expected, floats);
    assertStreamRefused("data is 400000" + expected, floats);
    byte[] doubles =
        npy("{'descr': '>f8', 'fortran_order': True, 'shape': (2147483639, 1), }", 400_001);
    expected = " bytes; expected 17179869112 for >f8 of shape [2147483639, 1]";
    assertFileRefused("data is 400001" + expected, doubles);
    assertStreamRefused("data is 400001" + expected, doubles);
  }

  @Test
  void refusesShapesBeyondAnArray() throws IOException {
    assertFileRefused(
        "shape [2147483640] has 2147483640 elements; expected at most 2147483639",
        npy(header("(2147483640,)"), 0));
    assertFileRefused(
        "shape [65536, 65536] has 4294967296 elements; expected at most 2147483639",
        npy(header("(65536, 65536)"), 0));
    // In 64 bits the product is 0, in 32 bits it is 4.
    assertFileRefused(
        "shape [4294967296, 4294967296] overflows 64 bits; expected at most 2147483639 elements",
        npy(header("(4294967296, 4294967296)"), 0));
    assertFileRefused(
        "shape [4611686018427387904, 4, 0] overflows 64 bits; expected at most 2147483639 elements",
        npy(header("(4611686018427387904, 4, 0)"), 0));
    assertFileRefused(
        "shape [0, 4611686018427387904, 4] overflows 64 bits; expected at most 2147483639 elements",
        npy(header("(0, 4611686018427387904, 4)"), 0));
    assertFileRefused(
        "shape has the length 9223372036854775808; expected at most 2147483639",
        npy(header("(9223372036854775808,)"), 0));
    assertFileRefused(
        "shape has the negative length -3; expected 0 or more", npy(header("(2, -3)"), 24));
    assertFileRefused(
        "shape has more than 32 axes; expected at most 32",
        npy(header("(" + "1, ".repeat(33) + ")"), 4));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "``|header has its end at character 0; expected '{'",
        "descr|header has \"descr\" at character 0; expected '{'",
        "{}|header has no descr; expected the keys descr, fortran_order and shape",
        "{'descr': '<f4', 'fortran_order': False}"
            + "|header has no shape; expected the keys descr, fortran_order and shape",
        "{'descr': '<f4', 'shape': ()}"
            + "|header has no fortran_order; expected the keys descr, fortran_order and shape",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}"
            + "|header has the key 'x'; expected only descr, fortran_order and shape",
        "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': ()}"
            + "|header has the key 'descr' twice; expected it once",
        "{'descr:|header has \"'descr:\" at character 1; expected a string with a closing quote",
        "{descr:|header has \"descr:\" at character 1; expected a quoted string",
        "{,}|header has \",}\" at character 1; expected a quoted string",
        "{'descr' '<f4'}|header has \"'<f4'}\" at character 9; expected ':'",
        "{'descr': None}|header has \"None}\" at character 10; expected a quoted string",
        "{'descr': '<f4' 1}|header has \"1}\" at character 16; expected ',' or '}'",
        "{'descr': '<f4',|header has its end at character 16; expected a quoted string",
        "{'descr': '<f4'|header has its end at character 15; expected ',' or '}'",
        "{'fortran_order': 0}|header has \"0}\" at character 18; expected True or False",
        "{'shape': 3}|header has \"3}\" at character 10; expected '('",
        "{'shape': [3]}|header has \"[3]}\" at character 10; expected '('",
        "{'shape': (3)}|shape is a number in parentheses; expected a tuple, such as (3,)",
        "{'shape': (,)}|header has \",)}\" at character 11; expected the length of an axis",
        "{'shape': (1 2)}|header has \"2)}\" at character 13; expected ',' or ')'",
        "{'shape': (1.5,)}|header has \".5,)}\" at character 12; expected ',' or ')'",
        "{'shape': (1,|header has its end at character 13; expected the length of an axis",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x"
            + "|header has \"x\" at character 54; expected the end of the header",
      })
  void refusesHeader(String header, String message) {
    assertStreamRefused(message, npy(header, 4));
  }

  @Test
  void showsForeignCharactersAsQuestionMarks() {
    assertStreamRefused(
        "header has \"????\" at character 0; expected '{'", npy("\0\u001b\u007f\u00e9", 4));
    assertStreamRefused(
        "header has \"?\" at character 53; expected the end of the header",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()}\0", 4));
  }

  @Test
  void nestingDoesNotExhaustTheStack() {
    assertStreamRefused(
        "dtype is structured, " + "[".repeat(80) + "...; expected " + DTYPES,
        npy("{'descr': " + "[".repeat(60_000), 0));
  }

  /** Whatever bit is wrong or byte is missing, nothing but {@link NpyException} comes of it. */
  @ParameterizedTest
  @ValueSource(strings = {"c-2x3-f4.npy", "f-2x3x4-big-f8.npy", "v3.npy"})
  void damageGivesTheOneException(String name) throws IOException {
    byte[] intact = bytes(name);
    for (int length = 0; length < intact.length; length++) {
      byte[] cut = Arrays.copyOf(intact, length);
      assertThrows(NpyException.class, () -> Npy.read(new ByteArrayInputStream(cut)));
    }
    for (int bit = 0; bit < 8 * intact.length; bit++) {
      byte[] damaged = intact.clone();
      damaged[bit / 8] ^= (byte) (1 << bit % 8);
      try {
        Npy.read(new ByteArrayInputStream(damaged));
      } catch (NpyException e) {
        assertFalse(e.getMessage().contains("\n"));
      }
    }
  }
}
