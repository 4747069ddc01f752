package dev.vbn.state;

import static dev.vbn.state.Resources.assertRefused;
import static dev.vbn.state.Resources.npy;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.Mask;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NpyMaskTest {
  private static final Mask MASK =
      Mask.of(new boolean[] {true, false, false, true, true, false}, 2, 3);

  @TempDir
  private Path folder;

  private static byte[] mask(String descr, boolean fortran, String shape, int... values) {
    byte[] file = npy(dict(descr, fortran, shape), values.length);
    for (int i = 0; i < values.length; i++) {
      file[file.length - values.length + i] = (byte) values[i];
    }
    return file;
  }

  private static String dict(String descr, boolean fortran, String shape) {
    return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False")
        + ", 'shape': " + shape + ", }";
  }

  private static Mask read(byte[] bytes) throws IOException {
    return NpyMask.read(new ByteArrayInputStream(bytes));
  }

  private static Mask lengths(byte[] bytes) throws IOException {
    return NpyMask.readLengths(new ByteArrayInputStream(bytes));
  }

  @ParameterizedTest
  @ValueSource(strings = {"|b1", "|u1"})
  void boolAndUint8AreMasks(String descr) throws IOException {
    assertEquals(MASK, read(mask(descr, false, "(2, 3)", 1, 0, 0, 1, 1, 0)));
  }

  @Test
  void whateverIsNotZeroCounts() throws IOException {
    assertEquals(MASK, read(mask("|u1", false, "(2, 3)", 255, 0, 0, 2, 128, 0)));
  }

  @Test
  void columnsFirstIsRead() throws IOException {
    assertEquals(MASK, read(mask("|b1", true, "(2, 3)", 1, 1, 0, 1, 0, 0)));
  }

  @Test
  void lengthsOfEitherWidthAndOrderAreRead() throws IOException {
    Mask expected = Mask.lengths(3, 258);
    assertEquals(expected, lengths(mask("<i4", false, "(2,)", 3, 0, 0, 0, 2, 1, 0, 0)));
    assertEquals(expected, lengths(mask(">i4", false, "(2,)", 0, 0, 0, 3, 0, 0, 1, 2)));
    assertEquals(
        expected,
        lengths(mask("<i8", false, "(2,)", 3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0)));
    assertEquals(
        expected,
        lengths(mask(">i8", true, "(2,)", 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2)));
  }

  @Test
  void filesAreRead() throws IOException {
    Path file = folder.resolve("m.npy");
    Files.write(file, mask("|b1", false, "(2, 3)", 1, 0, 0, 1, 1, 0));
    assertEquals(MASK, NpyMask.read(file));
    Files.write(file, mask("<i4", false, "(1,)", 7, 0, 0, 0));
    assertEquals(Mask.lengths(7), NpyMask.readLengths(file));
    Files.write(file, mask("<f4", false, "(1,)", 7, 0, 0, 0));
    assertRefused(
        file + ": dtype is '<f4'; expected int32 or int64", () -> NpyMask.readLengths(file));
    assertRefused(file + ": dtype is '<f4'; expected bool or uint8", () -> NpyMask.read(file));
  }

  @Test
  void whatIsNoMaskIsRefused() {
    assertRefused(
        "stream: data is 3 bytes; expected 6 for |b1 of shape [2, 3]",
        () -> read(mask("|b1", false, "(2, 3)", 1, 0, 0)));
    assertRefused(
        "stream: data is more than 2 bytes; expected 2 for |b1 of shape [2]",
        () -> read(mask("|b1", false, "(2,)", 1, 0, 0)));
    assertRefused(
        "stream: lengths have shape [1, 1]; expected [examples]",
        () -> lengths(mask("<i4", false, "(1, 1)", 1, 0, 0, 0)));
    assertRefused(
        "stream: length of example 0 is -1; expected 0 or more",
        () -> lengths(mask("<i4", false, "(1,)", 255, 255, 255, 255)));
    assertRefused(
        "stream: no lengths are given; expected one for each example",
        () -> lengths(mask("<i4", false, "(0,)")));
    assertRefused(
        "stream: data is 16000000000 bytes; expected at most 2147483639",
        () -> lengths(mask("<i8", false, "(2000000000,)")));
  }
}
