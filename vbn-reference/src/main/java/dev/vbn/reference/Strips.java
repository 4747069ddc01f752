package dev.vbn.reference;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import org.jspecify.annotations.Nullable;

/**
 * The arrays of one call, and the passes over a box of them. All places are counted from {@code at},
 * the start of a group.
 */
abstract class Strips {

  static Strips of(HostTensor x, @Nullable HostTensor upstream, @Nullable HostTensor output) {
    return x.dtype() == DType.FLOAT32
        ? new FloatStrips(
            x.floats(),
            upstream == null ? null : upstream.floats(),
            output == null ? null : output.floats())
        : new DoubleStrips(
            x.doubles(),
            upstream == null ? null : upstream.doubles(),
            output == null ? null : output.doubles());
  }

  /** Whether sums are those of the upstream gradient as well. */
  abstract boolean withUpstream();

  /**
   * About the mean of each lane, from its first elements: so near that the squares around it are
   * not many times those around the mean, whatever the elements are.
   */
  abstract void estimate(int at, Box block, Workspace workspace, double[] shift);

  /** The means so far as shifts. */
  abstract void round(double[] mean, double[] shift, int lanes);

  /** The block sums of {@code sums}, around its shift. */
  abstract void sum(int at, Box block, Workspace workspace, LaneSums sums);

  /** Output: {@code factor*(x - center) + offset}. */
  abstract void normalize(int at, Box box, Tile tile, Lines lines, Workspace workspace);

  /** Output: {@code factor*dy - (slope*(x - center) + offset)}. */
  abstract void differentiate(int at, Box box, Tile tile, Lines lines, Workspace workspace);
}
