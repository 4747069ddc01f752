package dev.vbn.reference;

/**
 * The loops over elements of 32 bits. All work on a {@link Box} that starts at {@code at} plus its
 * own {@link Box#at}, with values of their own for each lane, so that no step waits for the one
 * before. Results of {@link #normalize} and {@link #differentiate} are the same bits in every
 * kernel. An instance belongs to one thread.
 */
interface Kernel {

  /** {@code scalar} or {@code simd}. */
  String name();

  /** Adds {@code d = x - shift} and {@code d*d}. */
  void sum(float[] x, int at, Box box, FloatSums lanes);

  /** Adds the upstream gradient {@code dy} and {@code dy*(x - shift)} as well. */
  void sumWithUpstream(float[] x, float[] dy, int at, Box box, FloatSums lanes);

  /** {@code factor*(x - center) + offset}; {@code output} may be {@code x}. */
  void normalize(float[] x, float[] output, int at, Box box, FloatLines lines);

  /** {@code factor*dy - (slope*(x - center) + offset)}. */
  void differentiate(float[] x, float[] dy, float[] output, int at, Box box, FloatLines lines);
}
