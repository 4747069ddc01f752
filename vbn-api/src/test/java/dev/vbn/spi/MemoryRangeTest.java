package dev.vbn.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.HostTensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Ranges overlap where they have a byte in common, and are the same only in the same order. */
final class MemoryRangeTest {
  private static final MemoryRange RANGE = range(16, 32, 4, 1);

  private static MemoryRange range(long start, long end, long... strides) {
    return new MemoryRange("memory", start, end, strides);
  }

  @ParameterizedTest
  @CsvSource({
    "0, 16, false",
    "0, 17, true",
    "16, 32, true",
    "20, 24, true",
    "0, 64, true",
    "31, 40, true",
    "32, 40, false"
  })
  void overlapIsAByteInCommon(long start, long end, boolean expected) {
    assertEquals(expected, RANGE.overlaps(range(start, end, 4, 1)));
    assertEquals(expected, range(start, end, 4, 1).overlaps(RANGE));
  }

  @Test
  void otherMemoryNeverOverlaps() {
    MemoryRange elsewhere = new MemoryRange("elsewhere", 16, 32, new long[] {4, 1});
    assertFalse(RANGE.overlaps(elsewhere));
    assertFalse(RANGE.same(elsewhere));
  }

  @Test
  void theSameIsTheSameBytesInTheSameOrder() {
    assertTrue(RANGE.same(range(16, 32, 4, 1)));
    assertFalse(RANGE.same(range(16, 32, 1, 4)));
    assertFalse(RANGE.same(range(15, 32, 4, 1)));
    assertFalse(RANGE.same(range(16, 33, 4, 1)));
  }

  @Test
  void itsTextIsInHexadecimal() {
    assertEquals("bytes 0x10 to 0x20", RANGE.toString());
  }

  @Test
  void arraysAreTheirOwnMemory() {
    HostTensorAccess access = new HostTensorAccess();
    float[] floats = new float[6];
    MemoryRange memory = access.memory(HostTensor.of(floats, 2, 3));

    assertEquals("bytes 0x0 to 0x18", memory.toString());
    assertTrue(memory.same(access.memory(HostTensor.of(floats, 2, 3))));
    assertFalse(memory.overlaps(access.memory(HostTensor.of(new float[6], 2, 3))));
    assertEquals(
        "bytes 0x0 to 0x30", access.memory(HostTensor.of(new double[6], 6)).toString());
  }
}
