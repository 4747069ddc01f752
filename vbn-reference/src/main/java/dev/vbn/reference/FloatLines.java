package dev.vbn.reference;

/** The straight line that each lane's output lies on. */
final class FloatLines {
  final float[] center;
  final float[] factor;
  final float[] slope;
  final float[] offset;

  FloatLines(int lanes) {
    center = new float[lanes];
    factor = new float[lanes];
    slope = new float[lanes];
    offset = new float[lanes];
  }
}
