package dev.vbn.conformance;

import dev.vbn.VbnConfig;
import java.util.Arrays;
import java.util.List;

/**
 * Shapes of a live and a reference batch.
 *
 * @param featureAxis may count from the end
 */
record Shapes(long[] live, long[] reference, int featureAxis) {

  /** Every rank with the feature axis in every place; ones, odd, and around powers of two. */
  static final List<Shapes> LAYOUTS = List.of(
      new Shapes(new long[] {5, 4}, new long[] {8, 4}, 1),
      new Shapes(new long[] {4, 3, 7}, new long[] {6, 3, 5}, 1),
      new Shapes(new long[] {4, 7, 3}, new long[] {6, 5, 3}, 2),
      new Shapes(new long[] {4, 7, 3}, new long[] {6, 5, 3}, -1),
      new Shapes(new long[] {3, 4, 2, 5}, new long[] {2, 4, 3, 5}, 1),
      new Shapes(new long[] {3, 2, 4, 5}, new long[] {2, 3, 4, 5}, 2),
      new Shapes(new long[] {3, 2, 5, 4}, new long[] {2, 3, 5, 4}, -1),
      new Shapes(new long[] {2, 3, 2, 3, 2}, new long[] {3, 3, 2, 3, 2}, 1),
      new Shapes(new long[] {2, 2, 3, 2, 3}, new long[] {3, 2, 3, 2, 3}, 2),
      new Shapes(new long[] {2, 2, 2, 3, 3}, new long[] {3, 2, 2, 3, 3}, -2),
      new Shapes(new long[] {2, 2, 3, 2, 3}, new long[] {3, 2, 3, 2, 3}, 4),
      new Shapes(new long[] {1, 1}, new long[] {1, 1}, 1),
      new Shapes(new long[] {1, 2, 9}, new long[] {3, 2, 9}, 1),
      new Shapes(new long[] {1, 7}, new long[] {6, 7}, 1),
      new Shapes(new long[] {5, 3, 4}, new long[] {1, 3, 6}, 1),
      new Shapes(new long[] {6, 1, 7}, new long[] {4, 1, 5}, 1),
      new Shapes(new long[] {6, 7, 1}, new long[] {4, 5, 1}, 2),
      new Shapes(new long[] {9, 1}, new long[] {5, 1}, 1),
      new Shapes(new long[] {4, 4, 4}, new long[] {4, 4, 4}, 1),
      new Shapes(new long[] {5, 65}, new long[] {7, 65}, 1),
      new Shapes(new long[] {2, 3, 1024}, new long[] {2, 3, 256}, 1),
      new Shapes(new long[] {2, 3, 1025}, new long[] {3, 3, 1023}, 1),
      new Shapes(new long[] {33, 17, 31}, new long[] {16, 17, 15}, 1),
      new Shapes(new long[] {67, 31, 33}, new long[] {16, 15, 33}, 2));

  private static final int[] LENGTHS = {
    1, 1, 2, 2, 3, 3, 5, 7, 15, 16, 17, 31, 33, 127, 1023, 1024, 1025
  };
  private static final int LARGEST = 12_000;

  /** Shapes drawn at random, of at most {@value #LARGEST} elements. */
  static Shapes random(Samples samples) {
    int rank = 2 + samples.below(4);
    int axis = 1 + samples.below(rank - 1);
    long[] live = new long[rank];
    long[] reference = new long[rank];
    long liveSize = 1;
    long referenceSize = 1;
    for (int i = rank - 1; i >= 0; i--) {
      live[i] = length(samples, LARGEST / liveSize);
      reference[i] = i == axis ? live[i] : length(samples, LARGEST / referenceSize);
      if (i == axis && live[i] * referenceSize > LARGEST) {
        live[i] = 1;
        reference[i] = 1;
      }
      liveSize *= live[i];
      referenceSize *= reference[i];
    }
    return new Shapes(live, reference, samples.below(2) == 0 ? axis : axis - rank);
  }

  private static long length(Samples samples, long most) {
    int length = LENGTHS[samples.below(LENGTHS.length)];
    return length <= most ? length : 1;
  }

  /** The defaults on these shapes. */
  VbnConfig config() {
    int axis = featureAxis < 0 ? featureAxis + live.length : featureAxis;
    return VbnConfig.of((int) live[axis]).withFeatureAxis(featureAxis);
  }

  @Override
  public String toString() {
    return "live " + Arrays.toString(live) + ", reference " + Arrays.toString(reference)
        + ", feature axis " + featureAxis;
  }
}
