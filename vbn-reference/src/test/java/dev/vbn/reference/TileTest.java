package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.Geometry;
import org.junit.jupiter.api.Test;

/** The chunks of a batch's tiles are the batch, up to the longest array there is. */
class TileTest {
  /** HotSpot's longest array. */
  private static final int LONGEST = Integer.MAX_VALUE - 2;

  private static void assertWhole(long batch, long before, long features, long after, int rows) {
    Geometry geometry = new Geometry(batch, before, features, after);
    long group = rows * features * after;
    long elements = 0;
    for (Tile tile : Tile.of(geometry, rows)) {
      int chunks = tile.chunks();
      assertTrue(chunks > 0, () -> geometry + " has a tile of " + chunks + " chunks");
      long ofTile = 0;
      for (int i = 0; i < chunks; i++) {
        Block block = tile.chunk(i);
        long end = block.at() + (block.rows() - 1L) * block.stride() + block.length();
        assertTrue(block.at() >= 0 && block.rows() > 0 && block.length() > 0, block::toString);
        assertTrue(end <= group, () -> block + " of " + group);
        assertEquals((long) block.rows() * block.length(), block.elements());
        ofTile += block.elements();
      }
      assertEquals((long) rows * tile.features * after, ofTile, geometry::toString);
      elements += ofTile;
    }
    assertEquals(group, elements, geometry::toString);
  }

  @Test
  void ofOrdinaryBatches() {
    assertWhole(100, 1, 64, 1024, 100);
    assertWhole(100, 1, 1024, 8, 100);
    assertWhole(64, 16384, 16, 1, 64 * 16384);
    assertWhole(8, 1, 64, 1, 8);
    assertWhole(1000, 1, 300, 3, 1);
    assertWhole(1, 1, 1, 1, 1);
  }

  @Test
  void ofTheLongestArrays() {
    assertWhole(2_147_221_505, 1, 1, 1, 2_147_221_505);
    assertWhole(LONGEST, 1, 1, 1, LONGEST);
    assertWhole(1, 1, 1, LONGEST, 1);
    assertWhole(3, 1, 1, LONGEST / 3, 3);
    assertWhole(3, 1, 1, LONGEST / 3, 1);
    assertWhole(1, 1, 5, LONGEST / 5, 1);
    assertWhole(LONGEST / 5, 1, 5, 1, LONGEST / 5);
    assertWhole(LONGEST / 63, 1, 1, 63, LONGEST / 63);
    assertWhole(LONGEST / 2 / 63, 1, 2, 63, LONGEST / 2 / 63);
    assertWhole(1, 1, LONGEST, 1, 1);
  }
}
