package dev.vbn.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.kernels.Layout.Order;
import dev.vbn.kernels.Layout.Part;
import org.junit.jupiter.api.Test;

/** The parts of a group's tiles are the group, and beyond the longest array. */
class LayoutTest {
  /** HotSpot's longest array. */
  private static final int LONGEST = Integer.MAX_VALUE - 2;

  private static void assertWhole(long rows, long features, long run) {
    for (Order order : Order.values()) {
      if (order != Order.FEATURES || features < 1 << 20) { // a tile for each of them
        assertWhole(new Layout(rows, features, run, order));
      }
    }
  }

  /** The parts hold as many elements as the group, each feature as many, and none beyond its end. */
  private static void assertWhole(Layout layout) {
    long group = layout.rows() * layout.features() * layout.run();
    long elements = 0;
    int features = 0;
    for (int tile = 0; tile < layout.tiles(); tile++) {
      assertEquals(features, layout.firstFeature(tile));
      features += layout.features(tile);
      int parts = layout.parts(tile);
      assertTrue(parts > 0, () -> layout + " has a tile of " + parts + " parts");
      long ofTile = 0;
      for (int i = 0; i < parts; i++) {
        Part part = layout.part(tile, i);
        long end = part.at()
            + (part.rows() - 1L) * layout.rowLength()
            + (part.features() - 1L) * layout.run()
            + part.length();
        assertTrue(
            part.at() >= 0 && part.rows() > 0 && part.features() > 0 && part.length() > 0,
            part::toString);
        assertTrue(end <= group, () -> part + " of " + group);
        assertTrue(part.feature() + part.features() <= layout.features(tile), part::toString);
        ofTile += (long) part.rows() * part.features() * part.length();
      }
      assertEquals(layout.rows() * layout.features(tile) * layout.run(), ofTile, layout::toString);
      elements += ofTile;
    }
    assertEquals(layout.features(), features);
    assertEquals(group, elements, layout::toString);
  }

  /** Every element is in one part. */
  @Test
  void partsDoNotOverlap() {
    int[][] shapes = {{3, 5, 7}, {2, 9000, 3}, {5, 3, 300_000}, {700, 9000, 1}, {3, 400_000, 1}};
    for (int[] shape : shapes) {
      for (Order order : Order.values()) {
        Layout layout = new Layout(shape[0], shape[1], shape[2], order);
        byte[] seen = new byte[(int) layout.size()];
        for (int tile = 0; tile < layout.tiles(); tile++) {
          for (int i = 0; i < layout.parts(tile); i++) {
            mark(layout, layout.part(tile, i), layout.firstFeature(tile), seen);
          }
        }
        for (byte times : seen) {
          assertEquals(1, times, layout::toString);
        }
      }
    }
  }

  private static void mark(Layout layout, Part part, long firstFeature, byte[] seen) {
    for (int row = 0; row < part.rows(); row++) {
      for (int f = 0; f < part.features(); f++) {
        long at = part.at() + row * layout.rowLength() + f * layout.run();
        long feature = at % layout.rowLength() / layout.run();
        assertEquals(firstFeature + part.feature() + f, feature, part::toString);
        for (int i = 0; i < part.length(); i++) {
          seen[(int) at + i]++;
        }
      }
    }
  }

  @Test
  void ofOrdinaryBatches() {
    assertWhole(100, 64, 1024);
    assertWhole(100, 1024, 8);
    assertWhole(64 * 16384, 16, 1);
    assertWhole(8, 64, 1);
    assertWhole(1, 300, 3);
    assertWhole(1, 1, 1);
  }

  @Test
  void ofTheLongestArrays() {
    assertWhole(2_147_221_505, 1, 1);
    assertWhole(LONGEST, 1, 1);
    assertWhole(1, 1, LONGEST);
    assertWhole(3, 1, LONGEST / 3);
    assertWhole(1, 1, LONGEST / 3);
    assertWhole(1, 5, LONGEST / 5);
    assertWhole(LONGEST / 5, 5, 1);
    assertWhole(LONGEST / 63, 1, 63);
    assertWhole(LONGEST / 2 / 63, 2, 63);
    assertWhole(1, LONGEST, 1);
  }

  @Test
  void ofMemoryBeyondAnyArray() {
    assertWhole((1L << 31) + 5, 1, 1);
    assertWhole(1, 1, (1L << 31) + 5);
    assertWhole(3L << 23, 7, 100);
    assertWhole((1L << 22) + 1, 3, 512);
  }
}
