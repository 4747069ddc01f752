package dev.vbn.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Tensors overlap where elements have a byte in common, and are the same only in the same order. */
final class MemoryRangeTest {

  /** A view of some memory, with the addresses of its elements counted out. */
  private record View(long start, int width, long[] shape, long[] strides) {
    MemoryRange range() {
      return MemoryRange.of("memory", start, width, shape, strides);
    }

    /** Addresses in row-major order. */
    List<Long> addresses() {
      List<Long> addresses = List.of(start);
      for (int axis = 0; axis < shape.length; axis++) {
        List<Long> inner = new ArrayList<>();
        for (long address : addresses) {
          for (long i = 0; i < shape[axis]; i++) {
            inner.add(address + i * strides[axis]);
          }
        }
        addresses = inner;
      }
      return addresses;
    }

    Set<Long> bytes() {
      Set<Long> bytes = new HashSet<>();
      for (long address : addresses()) {
        for (int i = 0; i < width; i++) {
          bytes.add(address + i);
        }
      }
      return bytes;
    }

    @Override
    public String toString() {
      return start + " width " + width + " shape " + Arrays.toString(shape) + " strides "
          + Arrays.toString(strides);
    }
  }

  private static void assertAsCounted(View one, View other) {
    Set<Long> common = one.bytes();
    common.retainAll(other.bytes());
    assertEquals(
        !common.isEmpty(), one.range().overlaps(other.range()), () -> one + " and " + other);
    assertEquals(
        !common.isEmpty(), other.range().overlaps(one.range()), () -> other + " and " + one);
    if (Arrays.equals(one.shape, other.shape) && !one.bytes().isEmpty()) {
      assertEquals(
          one.width == other.width && one.addresses().equals(other.addresses()),
          one.range().same(other.range()),
          () -> one + " and " + other);
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void anyTwoViewsAreToldApartAsBySetsOfAddresses(long seed) {
    Random random = new Random(seed);
    int overlapping = 0;
    for (int i = 0; i < 20_000; i++) {
      View one = view(random, random.nextInt(5));
      View other = random.nextBoolean()
          ? view(random, random.nextInt(5))
          : new View(
              one.start + random.nextInt(-9, 10), one.width, one.shape, shuffled(random, one));
      assertAsCounted(one, other);
      if (one.range().overlaps(other.range())) {
        overlapping++;
      }
    }
    assertTrue(overlapping > 4_000 && overlapping < 16_000, "some of either: " + overlapping);
  }

  /** Any strides, of either sign and 0 too, which are of no array. */
  private static View view(Random random, int rank) {
    long[] shape = new long[rank];
    long[] strides = new long[rank];
    for (int axis = 0; axis < rank; axis++) {
      shape[axis] = random.nextInt(10) == 0 ? 0 : random.nextInt(1, 5);
      strides[axis] = random.nextInt(-12, 25);
    }
    return new View(random.nextInt(60), 1 << random.nextInt(4), shape, strides);
  }

  private static long[] shuffled(Random random, View view) {
    long[] strides = view.strides.clone();
    if (strides.length > 1 && random.nextInt(3) == 0) {
      int axis = random.nextInt(strides.length - 1);
      strides[axis] = view.strides[axis + 1];
      strides[axis + 1] = view.strides[axis];
    }
    return strides;
  }

  /** Slices of one array with steps, its axes in any order, as programs make them. */
  @ParameterizedTest
  @ValueSource(longs = {4, 5, 6})
  void twoSlicesOfOneArrayAreToldApartAsBySetsOfAddresses(long seed) {
    Random random = new Random(seed);
    int apart = 0;
    for (int i = 0; i < 5_000; i++) {
      int rank = random.nextInt(2, 6);
      long[] whole = new long[rank];
      Arrays.setAll(whole, axis -> random.nextInt(1, 5));
      int width = 4 << random.nextInt(2);
      View one = slice(random, whole, width);
      View other = slice(random, whole, width);
      assertAsCounted(one, other);
      if (!one.range().overlaps(other.range())) {
        apart++;
      }
    }
    assertTrue(apart > 500 && apart < 4_500, "some of either: " + apart);
  }

  private static View slice(Random random, long[] whole, int width) {
    int rank = whole.length;
    long[] shape = new long[rank];
    long[] strides = new long[rank];
    long start = 0;
    long stride = width;
    for (int axis = rank - 1; axis >= 0; axis--) {
      int from = random.nextInt((int) whole[axis]);
      int step = random.nextInt(1, 3);
      shape[axis] = (whole[axis] - from + step - 1) / step;
      strides[axis] = step * stride;
      start += from * stride;
      stride *= whole[axis];
    }
    if (random.nextBoolean()) { // transposed
      shape = reversed(shape);
      strides = reversed(strides);
    }
    return new View(start, width, shape, strides);
  }

  private static long[] reversed(long[] values) {
    long[] reversed = new long[values.length];
    Arrays.setAll(reversed, i -> values[values.length - 1 - i]);
    return reversed;
  }

  /** Halves of the features of one large array lie between each other, row by row. */
  @ParameterizedTest
  @CsvSource({"0, 64, false", "0, 63, true", "64, 0, false", "64, 1, true", "0, 0, true"})
  void halvesOfTheFeaturesAreApart(long first, long second, boolean expected) {
    long[] shape = {1 << 20, 64, 1024};
    long[] strides = {128 * 1024 * 4L, 1024 * 4, 4};
    MemoryRange one = MemoryRange.of("memory", first * 4096, 4, shape, strides);
    MemoryRange other = MemoryRange.of("memory", second * 4096, 4, shape, strides);
    assertEquals(expected, one.overlaps(other));
    assertEquals(first == second, one.same(other));
  }

  @Test
  void coprimeStridesThatMissEachOtherAreApart() {
    long[] shape = {100_003, 100_019, 100_043};
    MemoryRange even = MemoryRange.of("memory", 0, 1, shape, new long[] {6_000_046, 6_000_022, 8});
    MemoryRange odd =
        MemoryRange.of("memory", 1_000_000_003, 1, shape, new long[] {6_000_086, 6_000_058, 4});
    assertFalse(even.overlaps(odd));
  }

  /** What takes too long to tell counts as an overlap: these are apart, as their addresses show. */
  @Test
  void viewsTooEntangledToTellAreTakenToOverlap() {
    Random random = new Random(7);
    View one = entangled(random);
    View other = entangled(random);
    long[] addresses =
        one.addresses().stream().mapToLong(address -> address).sorted().toArray();
    assertTrue(other.addresses().stream()
        .noneMatch(address -> Arrays.binarySearch(addresses, address) >= 0));

    assertTrue(one.range().overlaps(other.range()));
  }

  /** None of its strides holds all that the others reach. */
  private static View entangled(Random random) {
    long[] shape = new long[6];
    Arrays.fill(shape, 7);
    long[] strides = new long[6];
    Arrays.setAll(strides, axis -> (1L << 40) + random.nextLong(1L << 39));
    return new View(random.nextLong(1L << 40), 1, shape, strides);
  }

  @Test
  void otherMemoryNeverOverlaps() {
    MemoryRange range = MemoryRange.dense("memory", 16, 4, 4);
    MemoryRange elsewhere = MemoryRange.dense("elsewhere", 16, 4, 4);
    assertFalse(range.overlaps(elsewhere));
    assertFalse(range.same(elsewhere));
  }

  @Test
  void denseIsTheSameHoweverItIsSaid() {
    MemoryRange dense = MemoryRange.dense("memory", 16, 4, 6);
    assertTrue(
        dense.same(MemoryRange.of("memory", 16, 4, new long[] {2, 1, 3}, new long[] {12, 77, 4})));
    assertFalse(dense.same(MemoryRange.of("memory", 16, 4, new long[] {2, 3}, new long[] {4, 8})));
    assertFalse(dense.same(MemoryRange.dense("memory", 16, 2, 6)));
    assertFalse(dense.same(MemoryRange.dense("memory", 15, 4, 6)));
    assertTrue(MemoryRange.dense("memory", 16, 4, 1)
        .same(MemoryRange.of("memory", 16, 4, new long[] {1}, new long[] {99})));
    assertFalse(MemoryRange.dense("memory", 16, 4, 0).overlaps(dense));
  }

  @Test
  void itsTextIsInHexadecimalFromTheFirstByteToBehindTheLast() {
    assertEquals("bytes 0x10 to 0x20", MemoryRange.dense("memory", 16, 4, 4).toString());
    assertEquals(
        "bytes 0x8 to 0x14",
        MemoryRange.of("memory", 16, 4, new long[] {2, 3}, new long[] {0, -4}).toString());
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
