package dev.vbn.conformance;

import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.Random;

/**
 * Which elements of a batch count, as the kit knows it: a table, from which the oracle computes, and
 * the mask that says the same to a backend.
 *
 * @param counts in row-major order of the batch's shape without the feature axis
 * @param examples of the batch
 */
record Padding(boolean[] counts, int examples, Mask mask) {

  /** Which elements are left out. */
  enum Kind {
    LENGTHS,
    LENGTHS_ALONG_THE_LAST_AXIS,
    SCATTERED,
    MOST,
    ONE_ELEMENT,
    /** The same of each example, less than all: a batch can be cut instead. */
    EQUAL_LENGTHS,
    /** The same positions of each example. */
    SHARED,
    /** The last positions of each example, as of sequences that end together. */
    FROM_A_POSITION_ON
  }

  /** What lies where nothing counts. */
  enum Junk {
    NAN(Double.NaN),
    INFINITY(Double.POSITIVE_INFINITY),
    LARGE(-1e30),
    ORDINARY(-7);

    final double value;

    Junk(double value) {
      this.value = value;
    }
  }

  /** A mask of one value for each position. */
  static Padding of(boolean[] counts, long... shape) {
    return new Padding(counts, (int) shape[0], Mask.of(counts, shape));
  }

  /**
   * A padding of a batch. At least one example has something that counts; of several examples one,
   * possibly the first, has nothing, unless the examples are alike. Where there is no axis of
   * positions, whole examples are left out.
   */
  static Padding draw(Kind kind, long[] shape, int featureAxis, Random random) {
    int axis = featureAxis < 0 ? featureAxis + shape.length : featureAxis;
    long[] without = new long[shape.length - 1];
    for (int i = 0; i < without.length; i++) {
      without[i] = shape[i < axis ? i : i + 1];
    }
    boolean ofLengths = switch (kind) {
      case LENGTHS, LENGTHS_ALONG_THE_LAST_AXIS, EQUAL_LENGTHS -> without.length > 1;
      default -> false;
    };
    return ofLengths ? lengths(kind, without, axis, random) : positions(kind, without, random);
  }

  private static Padding lengths(Kind kind, long[] without, int featureAxis, Random random) {
    int along = kind == Kind.LENGTHS_ALONG_THE_LAST_AXIS ? without.length - 1 : 1;
    int most = (int) without[along];
    long[] lengths = new long[(int) without[0]];
    Arrays.setAll(lengths, i -> random.nextInt(most + 1));
    int some = random.nextInt(lengths.length);
    lengths[some] = 1L + random.nextInt(most);
    if (kind == Kind.EQUAL_LENGTHS) {
      Arrays.fill(lengths, 1L + random.nextInt(Math.max(1, most - 1)));
    } else if (lengths.length > 1) {
      lengths[another(some, lengths.length, random)] = 0;
    }
    Mask mask = Mask.lengths(lengths);
    return of(
        lengths,
        along,
        without,
        kind == Kind.LENGTHS_ALONG_THE_LAST_AXIS
            ? mask.along(along < featureAxis ? along : along + 1)
            : mask);
  }

  /** Lengths along an axis of the shape without the features. */
  static Padding of(long[] lengths, int along, long[] without, Mask mask) {
    boolean[] counts = new boolean[size(without)];
    for (int i = 0; i < counts.length; i++) {
      int rest = i;
      long place = 0;
      for (int a = without.length - 1; a > 0; a--) {
        place = a == along ? rest % without[a] : place;
        rest /= (int) without[a];
      }
      counts[i] = place < lengths[rest];
    }
    return new Padding(counts, (int) without[0], mask);
  }

  private static Padding positions(Kind kind, long[] without, Random random) {
    boolean[] counts = new boolean[size(without)];
    int share = switch (kind) {
      case MOST -> 9;
      case ONE_ELEMENT -> 0;
      default -> 5;
    };
    for (int i = 0; i < counts.length; i++) {
      counts[i] = random.nextInt(10) < share;
    }
    int examples = (int) without[0];
    int positions = counts.length / examples;
    if (kind == Kind.FROM_A_POSITION_ON) {
      for (int i = 0; i < examples; i++) {
        int from = i * positions + random.nextInt(positions);
        Arrays.fill(counts, i * positions, from, false);
        Arrays.fill(counts, from, (i + 1) * positions, true);
      }
    }
    int some = random.nextInt(examples);
    counts[some * positions + random.nextInt(positions)] = true;
    if (kind == Kind.SHARED && positions > 1) {
      for (int i = 0; i < examples; i++) {
        System.arraycopy(counts, some * positions, counts, i * positions, positions);
      }
    } else if (examples > 1) {
      int left = another(some, examples, random);
      Arrays.fill(counts, left * positions, (left + 1) * positions, false);
    }
    return of(counts, without);
  }

  private static int another(int one, int count, Random random) {
    return (one + 1 + random.nextInt(count - 1)) % count;
  }

  private static int size(long[] shape) {
    return (int) Arrays.stream(shape).reduce(1, Math::multiplyExact);
  }

  int positions() {
    return counts.length / examples;
  }

  /** Elements of one feature that count. */
  int countedElements() {
    int count = 0;
    for (boolean each : counts) {
      count += each ? 1 : 0;
    }
    return count;
  }

  /** Examples of which something counts. */
  int countedExamples() {
    int count = 0;
    for (int i = 0; i < examples; i++) {
      count += ofExamples(i).countedElements() > 0 ? 1 : 0;
    }
    return count;
  }

  /** That of the given examples, in the given order, as a mask of positions. */
  Padding ofExamples(int... chosen) {
    int positions = positions();
    boolean[] some = new boolean[chosen.length * positions];
    for (int i = 0; i < chosen.length; i++) {
      System.arraycopy(counts, chosen[i] * positions, some, i * positions, positions);
    }
    return of(some, chosen.length, positions);
  }

  /** That of the given examples, of which a batch has that shape: by lengths if this is. */
  Padding ofExamples(int[] chosen, long[] shape, int featureAxis) {
    Padding some = ofExamples(chosen);
    if (!mask.isOfLengths()) {
      return some.asPositions(shape, featureAxis);
    }
    long[] all = mask.exampleLengths();
    Mask lengths =
        Mask.lengths(Arrays.stream(chosen).mapToLong(example -> all[example]).toArray());
    return new Padding(
        some.counts, some.examples, mask.axis() == 0 ? lengths : lengths.along(mask.axis()));
  }

  /** The same positions as a mask of one value each. */
  Padding asPositions(long[] shape, int featureAxis) {
    int axis = featureAxis < 0 ? featureAxis + shape.length : featureAxis;
    long[] without = new long[shape.length - 1];
    for (int i = 0; i < without.length; i++) {
      without[i] = shape[i < axis ? i : i + 1];
    }
    return of(counts, without);
  }

  /** The batch with junk where nothing counts. */
  HostTensor over(HostTensor batch, int featureAxis, double junk) {
    long[] shape = batch.shape();
    int axis = featureAxis < 0 ? featureAxis + shape.length : featureAxis;
    int after = 1;
    for (int i = axis + 1; i < shape.length; i++) {
      after *= (int) shape[i];
    }
    int features = (int) shape[axis];
    double[] values = batch.toDoubles();
    for (int i = 0; i < values.length; i++) {
      if (!counts[i / (features * after) * after + i % after]) {
        values[i] = junk;
      }
    }
    return HostTensor.of(values, shape).to(batch.dtype());
  }
}
