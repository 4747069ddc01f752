package dev.vbn.reference;

import org.jspecify.annotations.Nullable;

/**
 * The loops over elements, for the arrays of one call.
 *
 * <p>They go strip by strip and have sums of their own for every lane: no step waits for the one
 * before, so that C2 vectorises them. A plain sum along a row has to wait for each addition.
 */
abstract class Kernel {
  /** Lanes that a long run is cut into, and those of one too short for that to be worth while. */
  private static final int CUT = 256;

  private static final int SHORT_CUT = 64;

  private final double @Nullable [] centers;

  /** With what deviations that are multiplied by the upstream gradient are taken from, if any. */
  Kernel(double @Nullable [] centers) {
    this.centers = centers;
  }

  /** Whether sums are those of the upstream gradient as well. */
  abstract boolean withUpstream();

  /** Adds the sums over a chunk of {@code tile}. */
  void sum(Block block, Tile tile, Workspace workspace, GroupSums into) {
    int lanes = tile.longRuns() ? cut(block) : block.length();
    int rest = block.length() % lanes;
    sumStrips(block, 0, lanes, tile, workspace, into);
    if (rest > 0) {
      sumStrips(block, block.length() - rest, rest, tile, workspace, into);
    }
  }

  private static int cut(Block block) {
    int lanes = block.elements() >= CUT * LaneSums.FOLD ? CUT : SHORT_CUT;
    return Math.min(lanes, block.length());
  }

  private void sumStrips(
      Block block, int from, int lanes, Tile tile, Workspace workspace, GroupSums into) {
    LaneSums sums = workspace.lanes;
    clear(sums, tile, lanes);
    for (int row = 0; row < block.rows(); row++) {
      int start = block.at() + row * block.stride();
      for (int i = from; i + lanes <= block.length(); i += lanes) {
        sums.add(this, start + i);
      }
    }
    sums.complete();
    into.add(sums, tile);
  }

  /** Makes sums of none for the lanes of a tile. */
  final void clear(LaneSums sums, Tile tile, int lanes) {
    sums.clear(lanes, withUpstream());
    if (centers != null) {
      tile.spread(centers, lanes, sums.center);
    }
  }

  /** Of a tile's only feature. */
  final double center(Tile tile) {
    return centers == null ? 0 : centers[tile.firstFeature];
  }

  /** Writes the output of a chunk of {@code tile}: of a gradient, where there is an upstream one. */
  final void write(Block block, Tile tile, Lines lines, Workspace workspace) {
    if (withUpstream()) {
      differentiate(block, tile, lines, workspace);
    } else {
      normalize(block, tile, lines, workspace);
    }
  }

  /** {@link #write} of a block, and {@link #sum} of the block that lies like it in another tile. */
  void writeAndSum(
      Block block,
      Tile tile,
      Lines lines,
      Block next,
      Tile nextTile,
      Workspace workspace,
      GroupSums into) {
    write(block, tile, lines, workspace);
    sum(next, nextTile, workspace, into);
  }

  private void normalize(Block block, Tile tile, Lines lines, Workspace workspace) {
    if (tile.longRuns()) {
      normalizeRuns(block, lines);
    } else {
      normalizeStrips(block, tile, lines, workspace);
    }
  }

  private void differentiate(Block block, Tile tile, Lines lines, Workspace workspace) {
    if (tile.longRuns()) {
      differentiateRuns(block, lines);
    } else {
      differentiateStrips(block, tile, lines, workspace);
    }
  }

  /** Copies input elements. */
  abstract void read(int at, int lanes, double[] into);

  /** Adds one strip to what is pending in {@code sums}, the upstream gradient too if there is one. */
  abstract void sumStrip(int at, LaneSums sums);

  /** Writes {@code factor*(x - center) + offset}, on the line at index 0. */
  abstract void normalizeRuns(Block block, Lines lines);

  /** The same, with a line for each feature. */
  abstract void normalizeStrips(Block block, Tile tile, Lines lines, Workspace workspace);

  /** Writes {@code factor*dy + (slope*(x - center) + offset)}, on the line at index 0. */
  abstract void differentiateRuns(Block block, Lines lines);

  /** The same, with a line for each feature. */
  abstract void differentiateStrips(Block block, Tile tile, Lines lines, Workspace workspace);
}
