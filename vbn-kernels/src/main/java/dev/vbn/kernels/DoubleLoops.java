package dev.vbn.kernels;

/** Arrays of 64 bits: every line fits them. */
final class DoubleLoops extends PlainDoubles {
  @Override
  boolean prepare(Lines lines, int features, boolean derivative) {
    return true;
  }

  @Override
  boolean fits(Lines lines, int feature, boolean derivative) {
    return true;
  }

  @Override
  boolean isTrusted(Sums sums, int feature, boolean withUpstream) {
    return Math.abs(sums.sum[feature]) <= Double.MAX_VALUE
        && sums.squares[feature] <= Double.MAX_VALUE
        && !sums.isFar(feature);
  }
}
