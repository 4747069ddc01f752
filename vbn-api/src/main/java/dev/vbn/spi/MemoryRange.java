package dev.vbn.spi;

import java.util.Arrays;

/**
 * Where the elements of a tensor lie.
 *
 * @param space what the addresses count in: the array that holds the tensor, or one object for all
 *     tensors in the same memory
 * @param start address of the first byte
 * @param end address behind the last byte
 * @param strides steps between neighbours along each axis
 */
public record MemoryRange(Object space, long start, long end, long[] strides) {

  /** Whether both have the same elements in the same order, given that their shapes are equal. */
  public boolean same(MemoryRange other) {
    return space.equals(other.space)
        && start == other.start
        && end == other.end
        && Arrays.equals(strides, other.strides);
  }

  /** Whether the two ranges have a byte in common. */
  public boolean overlaps(MemoryRange other) {
    return space.equals(other.space) && start < other.end && other.start < end;
  }

  /** The range in bytes. */
  @Override
  public String toString() {
    return "bytes 0x" + Long.toHexString(start) + " to 0x" + Long.toHexString(end);
  }
}
