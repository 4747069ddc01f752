package dev.vbn.kernels;

import java.util.ArrayList;
import java.util.List;

/**
 * What one thread computes with. Sums of lanes are 0 between parts: whoever adds them to those of
 * features clears them.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
final class Scratch<A> {
  /** Most lanes of a strip: what is kept for each of them stays in the first-level cache. */
  static final int LANES = 1024;

  /** Elements, and strips, of a window. */
  static final int WINDOW = Elements.LONGEST_COPY;

  static final int STRIPS = WINDOW / LANES;

  /**
   * A little more than there are, so that neighbouring arrays do not start a multiple of 4 KiB
   * apart: processors mistake a load from one for a load of what has just been stored to the other.
   */
  private static final int LENGTH = LANES + 24;

  /** For each lane: sums as in {@link Sums}, and what they are taken around. */
  final A shift;

  final A around;
  final A sum;
  final A squares;
  final A upstream;
  final A deviation;

  /** For each lane: the sums that have been carried over into 64 bits. */
  final double[] wideSum = new double[LENGTH];

  final double[] wideSquares = new double[LENGTH];
  final double[] wideUpstream = new double[LENGTH];
  final double[] wideDeviation = new double[LENGTH];

  /** For each lane: its line, as in {@link Lines}. */
  final A center;

  final A factor;
  final A slope;
  final A offset;

  /** For each lane: 0. */
  final A zero;

  /** A strip by itself. */
  final A x;

  final A dy;

  /** Some elements in 64 bits. */
  final double[] wideX = new double[LANES];

  final double[] wideDy = new double[LANES];
  final double[] wideWindow = new double[WINDOW];

  /** A window on memory that is not an array: some strips, or some runs. */
  final A xWindow;

  final A dyWindow;

  /** Sums of the runs of each feature, in vectors. */
  float[] runs = {};

  double[] wideRuns = {};

  /** Additions, or elements of each feature, that are not folded yet; 0 between parts. */
  int pending;

  /** Room for what counts of a group, {@link Packed}. */
  final List<A> packed = new ArrayList<>(2);

  /** Elements of each. */
  int packedSize;

  /** Sums over a part of a group. */
  final Sums sums = new Sums();

  Scratch(Loops<A> loops) {
    shift = loops.array(LENGTH);
    around = loops.array(LENGTH);
    sum = loops.array(LENGTH);
    squares = loops.array(LENGTH);
    upstream = loops.array(LENGTH);
    deviation = loops.array(LENGTH);
    center = loops.array(LENGTH);
    factor = loops.array(LENGTH);
    slope = loops.array(LENGTH);
    offset = loops.array(LENGTH);
    zero = loops.array(LENGTH);
    x = loops.array(LENGTH);
    dy = loops.array(LENGTH);
    xWindow = loops.array(WINDOW);
    dyWindow = loops.array(WINDOW);
  }
}
