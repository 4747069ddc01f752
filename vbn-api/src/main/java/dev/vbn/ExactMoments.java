package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.InvalidObjectException;
import java.io.ObjectInputStream;
import java.io.Serializable;
import java.math.BigInteger;
import java.util.Arrays;

/**
 * Sums examples without rounding. The result is rounded once, so it has the same bits in whatever
 * order the examples are added, and however they are split, merged or added again on another
 * machine.
 *
 * <p>NaN and infinity are counted, not summed: see {@link #nonFinite} and {@link #result}.
 *
 * <p>Takes 150 bytes per feature for values of usual range, and 1.6 KB for the whole range of
 * {@code double}. Not safe for use by several threads: let each add to its own, and merge them.
 */
public final class ExactMoments implements Serializable {
  // A superaccumulator (Kulisch 1971; R. M. Neal, "Fast exact summation using small and large
  // superaccumulators", 2015) for each feature's sum and sum of squares: digits of 32 bits in
  // longs, whose upper halves defer carries. An element is m * 2^(shift - 1074) with an integer m
  // of at most 53 bits; digit d of a sum counts in 2^(32 * d - 1074), and digit d of a sum of
  // squares in 2^(32 * d - 2148). Only the digits that the values so far need are kept: the
  // features share a window of shifts, 32 * first <= shift < 32 * (first + window).
  private static final long serialVersionUID = 1L;

  private static final int SHIFTS = 2046;
  private static final int LARGEST_WINDOW = (SHIFTS + 31) / 32;
  private static final int MOST_FEATURES = (Integer.MAX_VALUE - 8) / width(LARGEST_WINDOW);
  private static final long LOW = 0xffffffffL;
  // Added to an exponent's bits, this gives a shift.
  private static final int FLOAT_BIAS = 1074 - 149 - 1;
  private static final int DOUBLE_BIAS = -1;
  // One addition changes a digit by less than 2^55 (a float's 24 bits, shifted by up to 31).
  private static final int ADDITIONS_BEFORE_CARRY = 255;

  private static final int NAN = 0;
  private static final int POSITIVE_INFINITY = 1;
  private static final int NEGATIVE_INFINITY = 2;
  private static final int KINDS = 3;

  private final int features;
  private long examples;
  private long elements;
  private int first;
  private int window;
  private int additions;
  // [features, sumDigits + squareDigits]
  private long[] digits;
  // [features, KINDS]; no element until something is NaN or infinite
  private long[] nonFinite;

  /**
   * Sums of no examples yet.
   *
   * @param features number of features, 1 to 10631107
   * @throws IllegalArgumentException if {@code features} is out of range
   */
  public ExactMoments(int features) {
    if (features < 1 || features > MOST_FEATURES) {
      throw new IllegalArgumentException(
          "features is " + features + "; expected 1 to " + MOST_FEATURES);
    }
    this.features = features;
    this.nonFinite = new long[0];
    this.digits = new long[0];
  }

  /** One digit more for an element's upper bits, and three for the carries of 2^63 elements. */
  private static int sumDigits(int window) {
    return window + 4;
  }

  /** Twice the window's, three digits more for a square's upper bits, and three for carries. */
  private static int squareDigits(int window) {
    return 2 * window + 6;
  }

  private static int width(int window) {
    return window == 0 ? 0 : sumDigits(window) + squareDigits(window);
  }

  /**
   * Adds all examples of a batch.
   *
   * @param x batch of rank 2 to 5, the examples along axis 0
   * @param featureAxis 1 to rank-1, or -1 to -(rank-1) counted from the end
   * @return this
   * @throws IllegalArgumentException if the shape or the axis is invalid, the axis has a length
   *     other than {@link #features}, or a count overflows; nothing is added then
   * @throws NullPointerException if {@code x} is null
   */
  public ExactMoments add(HostTensor x, int featureAxis) {
    requireNonNull(x, "x is null; expected a batch");
    long[] shape = x.shape();
    Geometry geometry = Geometry.of(shape, featureAxis);
    if (geometry.features() != features) {
      throw new IllegalArgumentException(
          "axis " + featureAxis + " of shape " + Arrays.toString(shape) + " has "
              + geometry.features() + " features; expected " + features);
    }
    count(geometry.batch(), geometry.elementsPerFeature());
    int after = (int) geometry.after();
    int rows = (int) (geometry.batch() * geometry.before());
    int length = features * after;
    if (x.dtype() == DType.FLOAT32) {
      float[] floats = x.floats();
      for (int row = 0; row < rows; row++) {
        addRow(floats, row * length, after);
      }
    } else {
      double[] doubles = x.doubles();
      for (int row = 0; row < rows; row++) {
        addRow(doubles, row * length, after);
      }
    }
    return this;
  }

  /**
   * Adds one example that has one element of each feature. An example with positions is a batch of
   * one: {@link #add(HostTensor, int)}.
   *
   * @return this
   * @throws IllegalArgumentException if the length is not {@link #features}, or a count overflows
   * @throws NullPointerException if {@code example} is null
   */
  public ExactMoments add(float[] example) {
    requireNonNull(example, "example is null; expected one value per feature");
    requireLength(example.length);
    count(1, 1);
    addRow(example, 0, 1);
    return this;
  }

  /**
   * Adds one example that has one element of each feature. An example with positions is a batch of
   * one: {@link #add(HostTensor, int)}.
   *
   * @return this
   * @throws IllegalArgumentException if the length is not {@link #features}, or a count overflows
   * @throws NullPointerException if {@code example} is null
   */
  public ExactMoments add(double[] example) {
    requireNonNull(example, "example is null; expected one value per feature");
    requireLength(example.length);
    count(1, 1);
    addRow(example, 0, 1);
    return this;
  }

  private void requireLength(int length) {
    if (length != features) {
      throw new IllegalArgumentException(
          "example has " + length + " values; expected one of each of " + features + " features");
    }
  }

  private void count(long moreExamples, long moreElements) {
    long allExamples = ReferenceMoments.sum("examples", examples, moreExamples);
    elements = ReferenceMoments.sum("elements per feature", elements, moreElements);
    examples = allExamples;
  }

  /** Adds x[start...] as [features, after]. */
  private void addRow(float[] x, int start, int after) {
    int length;
    for (int from = 0; from < after; from += length) {
      length = Math.min(after - from, ADDITIONS_BEFORE_CARRY);
      makeRoom(length);
      int i = start + from;
      int end = i + length;
      int c = 0;
      while (c < features) {
        long[] digits = this.digits;
        int width = width(window);
        int squares = sumDigits(window);
        int row = c * width;
        int bias = FLOAT_BIAS - 32 * first;
        // The window may begin below the floats that have a leading bit; no double's does.
        int least = Math.max(1, -bias);
        int bound = Math.min(0xff, 32 * window - bias);
        while (c < features) {
          int bits = Float.floatToRawIntBits(x[i]);
          int exponent = (bits >>> 23) & 0xff;
          if (exponent >= least && exponent < bound) {
            long m = (bits & 0x7fffff) | 0x800000;
            add24(digits, row, squares, exponent + bias, m, bits >> 31);
          } else if (widened(c, x[i], exponent == 0 ? -1 : exponent + FLOAT_BIAS)) {
            break;
          }
          if (++i == end) {
            c++;
            row += width;
            i += after - length;
            end += after;
          }
        }
      }
    }
  }

  /** Adds x[start...] as [features, after]. */
  private void addRow(double[] x, int start, int after) {
    int length;
    for (int from = 0; from < after; from += length) {
      length = Math.min(after - from, ADDITIONS_BEFORE_CARRY);
      makeRoom(length);
      int i = start + from;
      int end = i + length;
      int c = 0;
      while (c < features) {
        long[] digits = this.digits;
        int width = width(window);
        int squares = sumDigits(window);
        int row = c * width;
        int bias = DOUBLE_BIAS - 32 * first;
        int least = -bias;
        int bound = Math.min(0x7ff, 32 * window - bias);
        while (c < features) {
          long bits = Double.doubleToRawLongBits(x[i]);
          int exponent = (int) (bits >>> 52) & 0x7ff;
          if (exponent >= least && exponent < bound) {
            long m = (bits & 0xfffffffffffffL) | 0x10000000000000L;
            add53(digits, row, squares, exponent + bias, m, bits >> 63);
          } else if (widened(c, x[i], exponent == 0 ? -1 : exponent + DOUBLE_BIAS)) {
            break;
          }
          if (++i == end) {
            c++;
            row += width;
            i += after - length;
            end += after;
          }
        }
      }
    }
  }

  /** Adds {@code m * 2^position}, negated if sign is -1, for an m below 2^24. */
  private static void add24(long[] digits, int row, int squares, int position, long m, long sign) {
    int at = row + (position >>> 5);
    digits[at] += ((m << (position & 31)) ^ sign) - sign;
    long square = m * m;
    int s = 2 * (position & 15);
    at = row + squares + (position >>> 4);
    digits[at] += (square << s) & LOW;
    digits[at + 1] += square >>> (32 - s);
  }

  /** Adds {@code m * 2^position}, negated if sign is -1, for an m below 2^53. */
  private static void add53(long[] digits, int row, int squares, int position, long m, long sign) {
    int s = position & 31;
    int at = row + (position >>> 5);
    digits[at] += (((m << s) & LOW) ^ sign) - sign;
    digits[at + 1] += ((m >>> (32 - s)) ^ sign) - sign;
    long low = m * m;
    long high = Math.multiplyHigh(m, m);
    s = 2 * (position & 15);
    at = row + squares + (position >>> 4);
    digits[at] += (low << s) & LOW;
    digits[at + 1] += (low >>> (32 - s)) & LOW;
    digits[at + 2] += ((high << s) | (low >>> 1 >>> (63 - s))) & LOW;
    digits[at + 3] += high >>> (32 - s);
  }

  /**
   * Takes an element that the loops above cannot add. If the window had to be widened for it, it is
   * not added yet, and the result is true.
   *
   * @param shift the element's, or negative for what has no leading bit: zero or a subnormal
   */
  private boolean widened(int feature, double x, int shift) {
    if (x == 0) {
      return false;
    }
    if (!Double.isFinite(x)) {
      int kind = Double.isNaN(x) ? NAN : x > 0 ? POSITIVE_INFINITY : NEGATIVE_INFINITY;
      nonFiniteCounts()[KINDS * feature + kind]++;
      return false;
    }
    if (shift >= 0) {
      return widen(shift >>> 5, (shift >>> 5) + 1);
    }
    // A subnormal float has a leading bit as a double.
    int exponent = Math.max(Math.getExponent(x), Double.MIN_EXPONENT);
    int doubleShift = exponent - Double.MIN_EXPONENT;
    if (widen(doubleShift >>> 5, (doubleShift >>> 5) + 1)) {
      return true;
    }
    // Math.scalb is exact here: x is a multiple of the least double of its exponent.
    long m = (long) Math.scalb(Math.abs(x), 52 - exponent);
    int row = feature * width(window);
    int position = doubleShift - 32 * first;
    add53(digits, row, sumDigits(window), position, m, x < 0 ? -1 : 0);
    return false;
  }

  /** Makes the window hold the digits of sums in {@code [from, to)} too; false if it did before. */
  private boolean widen(int from, int to) {
    int newFirst = window == 0 ? from : Math.min(first, from);
    int newWindow = (window == 0 ? to : Math.max(first + window, to)) - newFirst;
    if (newWindow == window) {
      return false;
    }
    long[] wider = new long[features * width(newWindow)];
    addDigits(digits, first, window, wider, newFirst, newWindow);
    first = newFirst;
    window = newWindow;
    digits = wider;
    return true;
  }

  /** Adds digits to those of a window that holds theirs. */
  private void addDigits(
      long[] digits, int first, int window, long[] sum, int sumFirst, int sumWindow) {
    int offset = first - sumFirst;
    for (int c = 0; window > 0 && c < features; c++) {
      int from = c * width(window);
      int to = c * width(sumWindow);
      for (int i = 0; i < sumDigits(window); i++) {
        sum[to + offset + i] += digits[from + i];
      }
      from += sumDigits(window);
      to += sumDigits(sumWindow) + offset;
      for (int i = 0; i < squareDigits(window); i++) {
        sum[to + offset + i] += digits[from + i];
      }
    }
  }

  private void makeRoom(int length) {
    if (additions + length > ADDITIONS_BEFORE_CARRY) {
      carry();
      additions = 0;
    }
    additions += length;
  }

  private void carry() {
    carry(digits, window);
  }

  /** Brings every digit into 0 to 2^32 - 1, except the last of a sum, which holds the sign. */
  private static void carry(long[] digits, int window) {
    int from = 0;
    while (from < digits.length) {
      from = carry(digits, from, sumDigits(window));
      from = carry(digits, from, squareDigits(window));
    }
  }

  private static int carry(long[] digits, int from, int length) {
    int last = from + length - 1;
    long carry = 0;
    for (int i = from; i < last; i++) {
      long digit = digits[i] + carry;
      digits[i] = digit & LOW;
      carry = digit >> 32;
    }
    digits[last] += carry;
    return last + 1;
  }

  /**
   * Adds all that {@code other} has summed; {@code other} is unchanged.
   *
   * @return this
   * @throws IllegalArgumentException if the number of features differs, or a count overflows;
   *     nothing is added then
   * @throws NullPointerException if {@code other} is null
   */
  public ExactMoments merge(ExactMoments other) {
    requireNonNull(other, "other is null; expected exact moments");
    if (other.features != features) {
      throw new IllegalArgumentException("moments of " + other.features
          + " features were given to merge; expected " + features + " features");
    }
    count(other.examples, other.elements);
    for (int i = 0; i < other.nonFinite.length; i++) {
      nonFiniteCounts()[i] += other.nonFinite[i];
    }
    if (other.window > 0) {
      widen(other.first, other.first + other.window);
      carry();
      addDigits(other.digits, other.first, other.window, digits, first, window);
      carry();
      additions = 0;
    }
    return this;
  }

  /**
   * Mean and biased variance of all examples added, each the double nearest to the exact value (of
   * two equally near, the even one); a variance beyond the largest double is infinity.
   *
   * <p>A feature that was given NaN, or infinity of both signs, has the mean NaN; one that was
   * given infinity of one sign has that as its mean. In both cases the variance is NaN.
   *
   * @return {@link ReferenceMoments#empty} if there was no example
   */
  public ReferenceMoments result() {
    if (examples == 0) {
      return ReferenceMoments.empty(features);
    }
    double[] mean = new double[features];
    double[] variance = new double[features];
    BigInteger n = BigInteger.valueOf(elements);
    for (int c = 0; c < features; c++) {
      if (nonFinite(c) > 0) {
        mean[c] = nonFiniteMean(c);
        variance[c] = Double.NaN;
      } else {
        BigInteger sum = sum(c);
        mean[c] = quotient(sum, n, 32 * first - 1074);
        variance[c] = quotient(
            n.multiply(squares(c)).subtract(sum.multiply(sum)),
            n.multiply(n),
            64 * first - 2 * 1074);
      }
    }
    return ReferenceMoments.of(mean, variance, examples, elements);
  }

  /** The counts to add to. */
  private long[] nonFiniteCounts() {
    if (nonFinite.length == 0) {
      nonFinite = new long[KINDS * features];
    }
    return nonFinite;
  }

  private long nonFinite(int feature) {
    if (nonFinite.length == 0) {
      return 0;
    }
    int at = KINDS * feature;
    return nonFinite[at + NAN]
        + nonFinite[at + POSITIVE_INFINITY]
        + nonFinite[at + NEGATIVE_INFINITY];
  }

  private double nonFiniteMean(int feature) {
    int at = KINDS * feature;
    boolean positive = nonFinite[at + POSITIVE_INFINITY] > 0;
    boolean negative = nonFinite[at + NEGATIVE_INFINITY] > 0;
    if (nonFinite[at + NAN] > 0 || (positive && negative)) {
      return Double.NaN;
    }
    return positive ? Double.POSITIVE_INFINITY : Double.NEGATIVE_INFINITY;
  }

  private BigInteger sum(int feature) {
    return integer(feature * width(window), sumDigits(window));
  }

  private BigInteger squares(int feature) {
    return integer(feature * width(window) + sumDigits(window), squareDigits(window));
  }

  private BigInteger integer(int from, int length) {
    BigInteger integer = BigInteger.ZERO;
    if (window == 0) {
      return integer;
    }
    for (int i = from + length - 1; i >= from; i--) {
      integer = integer.shiftLeft(32).add(BigInteger.valueOf(digits[i]));
    }
    return integer;
  }

  /** The double nearest to {@code dividend / divisor * 2^exponent}. */
  private static double quotient(BigInteger dividend, BigInteger divisor, int exponent) {
    if (dividend.signum() == 0) {
      return 0;
    }
    // 56 or 57 bits of the quotient, and one more that says whether there are further ones
    int scale = 56 + divisor.bitLength() - dividend.abs().bitLength();
    BigInteger[] parts = scale > 0
        ? dividend.abs().shiftLeft(scale).divideAndRemainder(divisor)
        : dividend.abs().divideAndRemainder(divisor.shiftLeft(-scale));
    long bits = parts[0].longValueExact() << 1 | parts[1].signum();
    int lowest = exponent - scale - 1;
    // A double has 53 bits, and none below 2^-1074.
    int rounded = Math.max(64 - Long.numberOfLeadingZeros(bits) - 53, -1074 - lowest);
    double magnitude = 0;
    if (rounded < 64) {
      long half = 1L << (rounded - 1);
      long kept = bits >>> rounded;
      long rest = bits & (2 * half - 1);
      if (rest > half || (rest == half && (kept & 1) == 1)) {
        kept++;
      }
      magnitude = Math.scalb((double) kept, lowest + rounded);
    }
    return dividend.signum() < 0 ? -magnitude : magnitude;
  }

  /** Number of elements that are NaN or infinite, per feature; a copy. */
  public long[] nonFinite() {
    long[] counts = new long[features];
    Arrays.setAll(counts, this::nonFinite);
    return counts;
  }

  /** Number of features. */
  public int features() {
    return features;
  }

  /** Examples added. */
  public long examples() {
    return examples;
  }

  /** Elements of one feature in all examples added. */
  public long elements() {
    return elements;
  }

  /** Features and counts. */
  @Override
  public String toString() {
    return "ExactMoments(features=" + features + ", examples=" + examples + ", elements=" + elements
        + ")";
  }

  /** Whether any elements can have these sums: else results or later sums would be wrong. */
  private boolean isPossible(int feature) {
    long left = elements;
    for (int i = 0; i < KINDS && nonFinite.length > 0; i++) {
      long count = nonFinite[KINDS * feature + i];
      if (count < 0 || count > left) {
        return false;
      }
      left -= count;
    }
    BigInteger n = BigInteger.valueOf(left);
    BigInteger sum = sum(feature);
    BigInteger squares = squares(feature);
    // Cauchy and Schwarz; and no square reaches bit 64 * window + 104 (a shift of 32 * window - 1).
    return n.multiply(squares).compareTo(sum.multiply(sum)) >= 0
        && squares.compareTo(n.shiftLeft(64 * window + 104)) <= 0;
  }

  private Object writeReplace() {
    return new Serialized(this);
  }

  private void readObject(ObjectInputStream in) throws InvalidObjectException {
    throw new InvalidObjectException(
        "stream holds ExactMoments themselves; expected their serialized form");
  }

  /** What a stream holds: digits after carrying, which take half the room. */
  private static final class Serialized implements Serializable {
    private static final long serialVersionUID = 1L;

    private final int features;
    private final long examples;
    private final long elements;
    private final int first;
    private final int window;
    private final int[] digits;
    // No element if nothing was NaN or infinite
    private final long[] nonFinite;

    Serialized(ExactMoments moments) {
      features = moments.features;
      examples = moments.examples;
      elements = moments.elements;
      first = moments.first;
      window = moments.window;
      long[] carried = moments.digits.clone();
      carry(carried, window);
      digits = new int[carried.length];
      Arrays.setAll(digits, i -> (int) carried[i]);
      boolean finite = Arrays.stream(moments.nonFinite).allMatch(count -> count == 0);
      nonFinite = finite ? new long[0] : moments.nonFinite;
    }

    private Object readResolve() throws InvalidObjectException {
      boolean counts = examples == 0 ? elements == 0 : 0 < examples && examples <= elements;
      boolean shape = 1 <= features
          && features <= MOST_FEATURES
          && 0 <= window
          && window <= LARGEST_WINDOW
          && 0 <= first
          && first <= LARGEST_WINDOW - window
          && digits != null
          && digits.length == features * width(window)
          && nonFinite != null
          && (nonFinite.length == 0 || nonFinite.length == KINDS * features);
      if (!counts || !shape) {
        throw new InvalidObjectException("stream does not hold exact moments: " + features
            + " features, " + examples + " examples, " + elements + " elements, window " + first
            + " + " + window);
      }
      ExactMoments moments = new ExactMoments(features);
      moments.examples = examples;
      moments.elements = elements;
      moments.first = first;
      moments.window = window;
      moments.nonFinite = nonFinite.clone();
      moments.digits = new long[digits.length];
      int signed = sumDigits(window) - 1;
      for (int i = 0; i < digits.length; i++) {
        moments.digits[i] =
            i % width(window) == signed ? digits[i] : Integer.toUnsignedLong(digits[i]);
      }
      // Sums and counts that are all 0 take no space, whatever number of features is claimed.
      boolean empty = digits.length == 0 && nonFinite.length == 0;
      for (int c = 0; c < features && !empty; c++) {
        if (!moments.isPossible(c)) {
          throw new InvalidObjectException("stream does not hold exact moments: feature " + c
              + " has sums that no " + elements + " elements have");
        }
      }
      return moments;
    }
  }
}
