package dev.vbn.state;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is read and written is what the format says; what is not is refused before memory is taken. */
final class SafetensorsTest {
  private static final String ONE =
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";

  @TempDir
  private Path folder;

  @Test
  void aFileOfTorchIsRead() throws IOException {
    NamedTensors module = Safetensors.read(resource("module.safetensors"));

    assertEquals(List.of("beta", "gamma"), List.copyOf(module.tensors().keySet()));
    assertEquals(Map.of(), module.texts());
    assertArrayEquals(new long[] {1, 6, 1}, module.tensors().get("gamma").shape());
    // as struct.unpack reads them from the file's last 24 bytes
    byte[] bytes = Files.readAllBytes(resource("module.safetensors"));
    float[] gamma = new float[6];
    ByteBuffer.wrap(bytes, bytes.length - 24, 24)
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .get(gamma);
    assertArrayEquals(gamma, module.tensors().get("gamma").floats());
  }

  @Test
  void ofANetworkOnlyWhatIsWantedIsRead() throws IOException {
    NamedTensors layer =
        Safetensors.read(resource("network.safetensors"), name -> name.startsWith("vbn2."));

    assertEquals(
        List.of("vbn2.beta", "vbn2.gamma", "vbn2.ref_mean", "vbn2.ref_mean_sq"),
        List.copyOf(layer.tensors().keySet()));
    assertEquals(Map.of("format", "pt", "reference_examples", "12"), layer.texts());
  }

  @Test
  void whatIsWrittenIsTheFormatToTheByteAndReadAgain() throws IOException {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("w\"ide", HostTensor.of(new double[] {1.5, -0.0, Double.NaN}, 3));
    tensors.put("none", HostTensor.of(new float[0], 2, 0));
    tensors.put("scalar", HostTensor.of(new float[] {2}));
    Map<String, String> texts = new LinkedHashMap<>();
    texts.put("é", "line\nend");
    NamedTensors content = new NamedTensors(tensors, texts);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    Safetensors.write(out, content);

    String json = "{\"__metadata__\":{\"é\":\"line\\nend\"},"
        + "\"w\\\"ide\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]},"
        + "\"none\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[24,24]},"
        + "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]}}";
    byte[] header = json.getBytes(UTF_8);
    int padded = (header.length + 7) / 8 * 8;
    ByteBuffer expected = ByteBuffer.allocate(8 + padded + 28).order(ByteOrder.LITTLE_ENDIAN);
    expected.putLong(padded).put(header).put(" ".repeat(padded - header.length).getBytes(UTF_8));
    expected.putDouble(1.5).putDouble(-0.0).putDouble(Double.NaN).putFloat(2);
    assertArrayEquals(expected.array(), out.toByteArray());

    Path file = folder.resolve("all.safetensors");
    Safetensors.write(file, content);
    NamedTensors read = Safetensors.read(file);
    assertEquals(texts, read.texts());
    assertEquals(List.copyOf(tensors.keySet()), List.copyOf(read.tensors().keySet()));
    for (String name : tensors.keySet()) {
      assertArrayEquals(tensors.get(name).shape(), read.tensors().get(name).shape());
      assertArrayEquals(tensors.get(name).toDoubles(), read.tensors().get(name).toDoubles());
    }
  }

  @Test
  void aStreamHoldsOneAfterTheOther() throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (float value : new float[] {1, 2}) {
      Safetensors.write(
          out, new NamedTensors(Map.of("a", HostTensor.of(new float[] {value}, 1)), Map.of()));
    }
    ByteArrayInputStream in = new ByteArrayInputStream(out.toByteArray());

    assertEquals(1, Safetensors.read(in).tensors().get("a").floats()[0]);
    assertEquals(2, Safetensors.read(in).tensors().get("a").floats()[0]);
    assertThrows(EOFException.class, () -> Safetensors.read(in));
  }

  @ParameterizedTest
  @CsvSource({
    "F16, 0x3c00, 1",
    "F16, 0xc000, -2",
    "F16, 0x0001, 5.9604644775390625E-8",
    "F16, 0x03ff, 6.0975551605224609375E-5",
    "F16, 0x7bff, 65504",
    "F16, 0x7c00, Infinity",
    "F16, 0xfc00, -Infinity",
    "F16, 0x7e00, NaN",
    "F16, 0x8000, -0.0",
    "BF16, 0x3f80, 1",
    "BF16, 0xc040, -3",
    "BF16, 0x0001, 9.183549615799121E-41",
    "BF16, 0x7f80, Infinity"
  })
  void typesOf16BitsAreReadAsFloats(String dtype, String bits, float expected) throws IOException {
    String json = "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":[1],\"data_offsets\":[0,2]}}";
    int value = Integer.decode(bits);
    NamedTensors read =
        Safetensors.read(write(file(json, new byte[] {(byte) value, (byte) (value >> 8)})));

    assertEquals(DType.FLOAT32, read.tensors().get("a").dtype());
    assertEquals(expected, read.tensors().get("a").floats()[0]);
  }

  @Test
  void everyCutIsRefused() throws IOException {
    byte[] whole = Files.readAllBytes(resource("module.safetensors"));
    for (int length = 0; length < whole.length; length++) {
      byte[] cut = Arrays.copyOf(whole, length);
      String message = assertRefused(cut);
      assertTrue(message.contains("expected"), message);
    }
    assertRefused(Arrays.copyOf(whole, whole.length + 1), "49 bytes of data", "expected 48");
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 32, 100_000_000, (1 << 22) + 1})
  void aHeaderBeyondWhatIsReadIsRefusedBeforeItIs(long length) throws IOException {
    ByteBuffer file = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN).putLong(length);

    assertRefused(
        file.array(), "header of " + Long.toUnsignedString(length) + " bytes", "at most 4194304");
  }

  @Test
  void anEmptyHeaderAndOneThatIsNoObjectAreRefused() throws IOException {
    assertRefused(new byte[8], "no JSON object");
    assertRefused(file("[]", new byte[0]), "no JSON object");
    assertRefused(file("{", new byte[0]), "no JSON");
    assertRefused(file("{}{}", new byte[0]), "goes on behind its object");
    assertRefused(file("{\"a\":1}", new byte[0]), "tensor 'a' has 1", "an object");
  }

  @Test
  void anEmptyObjectIsAFileOfNothing() throws IOException {
    assertEquals(Map.of(), Safetensors.read(write(file("{}  ", new byte[0]))).tensors());
  }

  @Test
  void offsetsThatOverlapLeaveGapsOrRunBackwardsAreRefused() throws IOException {
    assertRefused(file(two(0, 4, 2, 6), new byte[6]), "tensor 'b' begins at 2", "expected 4");
    assertRefused(file(two(0, 4, 0, 4), new byte[4]), "begins at 0", "expected 4");
    assertRefused(file(two(0, 4, 5, 9), new byte[9]), "tensor 'b' begins at 5", "expected 4");
    assertRefused(file(two(4, 8, 8, 12), new byte[12]), "tensor 'a' begins at 4", "expected 0");
    assertRefused(file(two(4, 0, 4, 8), new byte[8]), "data_offsets [4, 0]");
    assertRefused(file(two(-4, 0, 0, 4), new byte[4]), "has -4", "0 or more");
    assertRefused(
        file(two(0, 4, 4, Long.MAX_VALUE), new byte[8]), "bytes at its data_offsets", "4 for F32");
  }

  private static String two(long begin, long end, long secondBegin, long secondEnd) {
    return "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + begin + "," + end
        + "]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + secondBegin + ","
        + secondEnd + "]}}";
  }

  @Test
  void tensorsInAnotherOrderThanTheirDataAreRead() throws IOException {
    ByteBuffer data = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
    data.putFloat(1).putFloat(2);
    NamedTensors read = Safetensors.read(write(file(two(4, 8, 0, 4), data.array())));

    assertEquals(2, read.tensors().get("a").floats()[0]);
    assertEquals(1, read.tensors().get("b").floats()[0]);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "[9223372036854775807,3]",
        "[4294967296,4294967296]",
        "[4611686018427387904]",
        "[3037000500,3037000500]"
      })
  void shapesThatOverflowAreRefused(String shape) throws IOException {
    assertRefused(
        file(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,4]}}",
            new byte[4]),
        "tensor 'a'");
  }

  @Test
  void numbersThatAreNoneAreRefused() throws IOException {
    for (String shape : List.of(
        "[18446744073709551616]", "[1.0]", "[1e3]", "[\"1\"]", "[null]", "[[1]]", "1", "[-1]")) {
      assertRefused(file(
          "{\"a\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,4]}}",
          new byte[4]));
    }
  }

  @Test
  void twoTensorsOfOneNameAreRefused() throws IOException {
    String entry = "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
    assertRefused(file("{" + entry + "," + entry + "}", new byte[4]), "Duplicate");
  }

  @Test
  void nestingAndNamesBeyondReasonAreRefused() throws IOException {
    assertRefused(file("{\"a\":" + "[".repeat(200_000) + "}", new byte[0]));
    assertRefused(file("{\"" + "a".repeat(100_000) + "\":1}", new byte[0]));
    assertRefused(
        file(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[" + "1,".repeat(100_000)
                + "1],\"data_offsets\":[0,4]}}",
            new byte[4]),
        "more than 64 numbers");
  }

  @Test
  void aHeaderThatIsNotUtf8IsRefused() throws IOException {
    byte[] header = ONE.getBytes(UTF_8);
    header[2] = (byte) 0xff;
    assertRefused(file(header, new byte[4]), "not UTF-8");
    assertRefused(file("{\0\"\0a\0", new byte[4]), "no JSON");
  }

  @ParameterizedTest
  @ValueSource(strings = {"I64", "I32", "U8", "BOOL", "F8_E4M3", "C64"})
  void typesThatAreNotReadAreNamedWhereTheyAreWantedAndPassedOverElsewhere(String dtype)
      throws IOException {
    int bytes = dtype.endsWith("64") ? 8 : dtype.endsWith("32") ? 4 : 1;
    String json = "{\"n\":{\"dtype\":\"" + dtype + "\",\"shape\":[1],\"data_offsets\":[0," + bytes
        + "]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + bytes + ","
        + (bytes + 4) + "]}}";
    byte[] file = file(json, new byte[bytes + 4]);

    assertRefused(file, "tensor 'n' has dtype " + dtype, "expected F32, F64, F16 or BF16");
    assertEquals(
        1, Safetensors.read(write(file), name -> name.equals("a")).tensors().size());
  }

  @Test
  void aTypeThatTheFormatLacksIsRefused() throws IOException {
    assertRefused(
        file("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", new byte[4]),
        "dtype 'F33'");
  }

  @Test
  void fieldsThatAreMissingOrUnknownAreRefused() throws IOException {
    assertRefused(
        file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", new byte[4]), "no data_offsets");
    assertRefused(
        file("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", new byte[4]), "no shape");
    assertRefused(file("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", new byte[4]), "no dtype");
    assertRefused(
        file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", new byte[8]),
        "more than 2 numbers");
    assertRefused(file("{\"__metadata__\":{\"a\":1}}", new byte[0]), "has 1", "a text");
  }

  @Test
  void aStreamThatPromisesMoreThanItBringsTakesNoMemoryForIt() {
    String json =
        "{\"a\":{\"dtype\":\"F64\",\"shape\":[250000000],\"data_offsets\":[0,2000000000]}}";
    ByteArrayInputStream in = new ByteArrayInputStream(file(json, new byte[1000]));

    String message =
        assertThrows(StateException.class, () -> Safetensors.read(in)).getMessage();
    assertTrue(message.contains("ends within tensor 'a'"), message);
  }

  @Test
  void aStreamThatPromisesMoreThanIsWantedIsNotReadOn() {
    String json = "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}";
    ByteArrayInputStream in = new ByteArrayInputStream(file(json, new byte[12]));

    String message =
        assertThrows(StateException.class, () -> Safetensors.read(in, 11)).getMessage();
    assertTrue(message.contains("header of 12 bytes of data; expected at most 11"), message);
    assertEquals(12, in.available());
  }

  @Test
  void aFileIsReplacedWhenItIsWholeAndKeepsItsMode() throws IOException {
    Path file = folder.resolve("layer.safetensors");
    Files.writeString(file, "before");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
    Map<String, HostTensor> bad = new LinkedHashMap<>();
    bad.put("__metadata__", HostTensor.of(new float[] {1}, 1));
    assertThrows(
        IllegalArgumentException.class,
        () -> Safetensors.write(file, new NamedTensors(bad, Map.of())));
    assertEquals("before", Files.readString(file));

    Safetensors.write(
        file, new NamedTensors(Map.of("a", HostTensor.of(new float[] {1}, 1)), Map.of()));
    assertEquals(1, Safetensors.read(file).tensors().size());
    assertEquals("rw-r-----", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    try (var files = Files.list(folder)) {
      assertEquals(1, files.count());
    }
  }

  private static byte[] file(String json, byte[] data) {
    return file(json.getBytes(UTF_8), data);
  }

  private static byte[] file(byte[] header, byte[] data) {
    return ByteBuffer.allocate(8 + header.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(header.length)
        .put(header)
        .put(data)
        .array();
  }

  private Path write(byte[] bytes) throws IOException {
    return Files.write(folder.resolve("file.safetensors"), bytes);
  }

  private String assertRefused(byte[] bytes, String... fragments) throws IOException {
    Path file = write(bytes);
    String message =
        assertThrows(StateException.class, () -> Safetensors.read(file)).getMessage();
    assertTrue(message.startsWith(file.toString()), message);
    IntStream.range(0, fragments.length)
        .forEach(i -> assertTrue(message.contains(fragments[i]), message));
    return message;
  }

  static Path resource(String name) {
    try {
      return Path.of(SafetensorsTest.class.getResource(name).toURI());
    } catch (java.net.URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }
}
