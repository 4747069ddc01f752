package dev.vbn.reference;

import dev.vbn.spi.Mixture;
import java.util.Arrays;

/**
 * The straight lines that outputs lie on, {@code factor*(x - center) + offset} or {@code factor*dy +
 * (slope*(x - center) + offset)}: of each feature of a tile, or of each lane of a strip.
 */
final class Lines {
  /**
   * Whether sums over the batch have made them. If not, an example must have the same bits alone and
   * in a batch, so that no way of computing may be chosen by the number of elements.
   */
  boolean ofThisBatch;

  final double[] center;
  final double[] factor;
  final double[] slope;
  final double[] offset;

  Lines(int length) {
    center = new double[length];
    factor = new double[length];
    slope = new double[length];
    offset = new double[length];
  }

  /** Makes gamma and beta, in the places of factor and offset, the line of a feature's output. */
  void normalize(int feature, Mixture mixture) {
    center[feature] = mixture.mean();
    factor[feature] /= mixture.deviation();
    slope[feature] = 0;
  }

  /** These lines of features, for every lane: in {@code into}, unless lane and feature are one. */
  Lines spread(Tile tile, int lanes, Lines into) {
    if (lanes == tile.features) {
      return this;
    }
    int run = tile.run(lanes);
    for (int from = 0, feature = 0; from < lanes; from += run) {
      Arrays.fill(into.center, from, from + run, center[feature]);
      Arrays.fill(into.factor, from, from + run, factor[feature]);
      Arrays.fill(into.slope, from, from + run, slope[feature]);
      Arrays.fill(into.offset, from, from + run, offset[feature]);
      feature = feature + 1 == tile.features ? 0 : feature + 1;
    }
    return into;
  }
}
