package dev.vbn;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How kernels, which know one feature axis and the batch axis first, see a batch whose axes are
 * where a {@link VbnConfig} says.
 *
 * <p>Neighbouring feature axes are merged, as they lie in memory. Where the batch axis is not
 * first, the kernels see one example: what must tell examples apart sees the features of each as
 * features of their own, {@link #byExample}.
 *
 * @param geometry view in which each group is a feature of the whole batch
 * @param batch length of the batch axis
 * @param examples those of which something counts
 * @param byExample view in which each group, in {@code scopeByExample}, is a feature of one
 *     example; null where there is no such view
 * @param featuresFirst whether examples follow each other within a feature, in the order of groups
 */
record BatchView(
    Geometry geometry,
    int batch,
    long examples,
    @Nullable Geometry byExample,
    Scope scopeByExample,
    boolean featuresFirst) {

  /**
   * The view of a batch of {@code shape}.
   *
   * @throws IllegalArgumentException if the shape lacks the axes, or the mask does not fit it
   */
  static BatchView of(VbnConfig config, long[] shape, @Nullable Mask mask) {
    boolean oneAxis = config.featureAxis() == config.lastFeatureAxis();
    if (config.batchAxis() == 0 && oneAxis) {
      return batchFirst(Geometry.of(shape, config.featureAxis(), mask));
    }
    requireShape(shape);
    int batchAxis = axis("batch axis", config.batchAxis(), shape);
    int first = axis("feature axis", config.featureAxis(), shape);
    int last = axis("last feature axis", config.lastFeatureAxis(), shape);
    if (first > last || (batchAxis >= first && batchAxis <= last)) {
      throw new IllegalArgumentException(
          "batch axis is " + batchAxis + " and the feature axes are " + first + " to " + last
              + " in shape " + Arrays.toString(shape)
              + "; expected the first before the last, and the batch outside of them");
    }
    if (batchAxis == 0) {
      long[] merged = new long[shape.length - (last - first)];
      System.arraycopy(shape, 0, merged, 0, first);
      merged[first] = product(shape, first, last + 1);
      System.arraycopy(shape, last + 1, merged, first + 1, shape.length - last - 1);
      return batchFirst(Geometry.of(merged, first, moved(mask, first, last, shape)));
    }
    return batchElsewhere(shape, batchAxis, first, last, mask);
  }

  private static BatchView batchFirst(Geometry geometry) {
    return new BatchView(
        geometry,
        (int) Math.min(geometry.batch(), Integer.MAX_VALUE),
        geometry.countedExamples(),
        geometry,
        Scope.EXAMPLE,
        false);
  }

  private static BatchView batchElsewhere(
      long[] shape, int batchAxis, int first, int last, @Nullable Mask mask) {
    long before = product(shape, 0, first);
    long features = product(shape, first, last + 1);
    long after = product(shape, last + 1, shape.length);
    long batch = shape[batchAxis];
    int length = (int) Math.min(batch, Integer.MAX_VALUE);
    if (mask != null) {
      Positions positions = Positions.of(mask, shape, batchAxis, first, last);
      Geometry geometry = Geometry.of(
          new long[] {1, before, features, after},
          2,
          Mask.of(positions.counts(), 1, before, after));
      return new BatchView(
          geometry, length, positions.examples(), null, Scope.BATCH, batchAxis > last);
    }
    Geometry geometry = new Geometry(1, before, features, after);
    Geometry byExample = null;
    if (batchAxis == first - 1) {
      byExample = new Geometry(1, before / batch, batch * features, after);
    } else if (batchAxis == last + 1) {
      byExample = new Geometry(1, before, features * batch, after / batch);
    }
    return new BatchView(geometry, length, batch, byExample, Scope.BATCH, batchAxis > last);
  }

  /** Whether the kernels know the examples. */
  boolean isBatchFirst() {
    return scopeByExample == Scope.EXAMPLE;
  }

  /** Groups of {@link #byExample}. */
  int groups() {
    return Math.toIntExact(geometry.features() * batch);
  }

  /** The feature of a group of {@link #byExample}. */
  int feature(int group) {
    return featuresFirst ? group / batch : (int) (group % geometry.features());
  }

  /** The example of a group of {@link #byExample}. */
  int example(int group) {
    return featuresFirst ? group % batch : (int) (group / geometry.features());
  }

  /** Elements of one feature that count in one example. */
  long elements(int example) {
    return scopeByExample == Scope.EXAMPLE
        ? geometry.countedElements(example)
        : geometry.elementsPerFeature() / batch;
  }

  private static void requireShape(long[] shape) {
    if (shape.length < 2 || shape.length > 5) {
      throw new IllegalArgumentException("rank is " + shape.length + ", shape "
          + Arrays.toString(shape) + "; expected rank 2 to 5");
    }
    for (long length : shape) {
      if (length < 1) {
        throw new IllegalArgumentException(
            "shape is " + Arrays.toString(shape) + "; expected at least 1 along every axis");
      }
    }
  }

  private static int axis(String name, int given, long[] shape) {
    int axis = given < 0 ? given + shape.length : given;
    if (axis < 0 || axis >= shape.length) {
      throw new IllegalArgumentException(
          name + " is " + given + " for shape " + Arrays.toString(shape) + "; expected 0 to "
              + (shape.length - 1) + ", or -1 to -" + shape.length);
    }
    return axis;
  }

  private static long product(long[] shape, int from, int to) {
    long product = 1;
    for (int i = from; i < to; i++) {
      try {
        product = Math.multiplyExact(product, shape[i]);
      } catch (ArithmeticException e) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(shape)
                + " has more elements than a long counts; expected at most " + Long.MAX_VALUE,
            e);
      }
    }
    return product;
  }

  /** The mask for the shape whose feature axes are merged. */
  private static @Nullable Mask moved(@Nullable Mask mask, int first, int last, long[] shape) {
    if (mask == null || !mask.isOfLengths() || mask.axis() == 0) {
      return mask;
    }
    int axis = axis("axis of lengths", mask.axis(), shape);
    if (axis >= first && axis <= last) {
      throw new IllegalArgumentException("axis of lengths is " + mask.axis() + " for shape "
          + Arrays.toString(shape) + "; expected one of positions, not of the features, " + first
          + " to " + last);
    }
    return mask.along(axis > last ? axis - (last - first) : axis);
  }

  /** What counts, position by position in the order of the memory, and in how many examples. */
  private record Positions(boolean[] counts, long examples) {
    static Positions of(Mask mask, long[] shape, int batchAxis, int first, int last) {
      int[] axes = new int[shape.length - (last - first + 1)];
      long[] lengths = new long[axes.length];
      for (int i = 0; i < axes.length; i++) {
        axes[i] = i < first ? i : i + last - first + 1;
        lengths[i] = shape[axes[i]];
      }
      int size = Math.toIntExact(product(lengths, 0, lengths.length));
      int along = mask.isOfLengths() ? alongAxis(mask, shape, batchAxis, axes) : -1;
      long[] ofExamples = mask.isOfLengths() ? mask.exampleLengths() : null;
      if (ofExamples == null) {
        if (!Arrays.equals(mask.shape(), lengths)) {
          throw new IllegalArgumentException("mask has shape " + Arrays.toString(mask.shape())
              + "; expected " + Arrays.toString(lengths) + ", that of the batch, "
              + Arrays.toString(shape) + ", without the feature axes, " + first + " to " + last);
        }
      } else {
        requireLengths(ofExamples, shape, batchAxis, along);
      }
      boolean[] counts = new boolean[size];
      boolean[] ofExample = new boolean[Math.toIntExact(shape[batchAxis])];
      for (int i = 0; i < size; i++) {
        int example = place(i, lengths, axes, batchAxis);
        counts[i] = ofExamples == null
            ? mask.counts(i)
            : place(i, lengths, axes, along) < ofExamples[example];
        ofExample[example] |= counts[i];
      }
      long examples = 0;
      for (boolean some : ofExample) {
        examples += some ? 1 : 0;
      }
      return new Positions(counts, examples);
    }

    /** Where a position is along an axis. */
    private static int place(int index, long[] lengths, int[] axes, int axis) {
      long rest = index;
      for (int i = axes.length - 1; axes[i] != axis; i--) {
        rest /= lengths[i];
      }
      return (int) (rest % lengths[Arrays.binarySearch(axes, axis)]);
    }

    private static int alongAxis(Mask mask, long[] shape, int batchAxis, int[] axes) {
      if (mask.axis() != 0) {
        int axis = axis("axis of lengths", mask.axis(), shape);
        if (axis != batchAxis && Arrays.binarySearch(axes, axis) >= 0) {
          return axis;
        }
      } else {
        for (int axis : axes) {
          if (axis != batchAxis) {
            return axis;
          }
        }
      }
      throw new IllegalArgumentException(mask + " was given for shape " + Arrays.toString(shape)
          + "; expected a batch with an axis of positions, and lengths along one");
    }

    private static void requireLengths(long[] lengths, long[] shape, int batchAxis, int along) {
      if (lengths.length != shape[batchAxis]) {
        throw new IllegalArgumentException("mask has " + lengths.length + " lengths; expected "
            + shape[batchAxis] + ", one for each example of shape " + Arrays.toString(shape));
      }
      for (int i = 0; i < lengths.length; i++) {
        if (lengths[i] > shape[along]) {
          throw new IllegalArgumentException("length of example " + i + " is " + lengths[i]
              + "; expected at most " + shape[along] + ", that of axis " + along + " of shape "
              + Arrays.toString(shape));
        }
      }
    }
  }
}
