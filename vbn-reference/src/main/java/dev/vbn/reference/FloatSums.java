package dev.vbn.reference;

/** Sums of one block for each lane, around a shift. */
final class FloatSums {
  final float[] shift;
  final float[] sum;
  final float[] squares;
  final float[] upstream;
  final float[] upstreamDeviation;

  FloatSums(int lanes) {
    shift = new float[lanes];
    sum = new float[lanes];
    squares = new float[lanes];
    upstream = new float[lanes];
    upstreamDeviation = new float[lanes];
  }
}
