package dev.vbn.bench;

import dev.vbn.Variant;
import java.io.Serializable;

/**
 * One question that all contenders are asked, in turn: the unit within which times are compared.
 *
 * @param series what it is a part of
 */
record Comparison(Series series, Shape shape, Variant variant, Masking masking, Pass pass)
    implements Serializable {

  /** What the comparisons together show. */
  enum Series {
    /** A few shapes in every detail. */
    SHAPES,
    /** The forward pass from small to large. */
    SIZES,
    /** The variants other than the default, which {@link #SHAPES} has. */
    VARIANTS,
    /** The same with masks, by which some elements do not count. */
    MASKS,
    /** The first shape once more, in a JVM that has compiled for all the others. */
    AGAIN
  }

  /** Of the default variant. */
  static Comparison of(Series series, Shape shape, Pass pass) {
    return new Comparison(series, shape, Variant.LIVE_BATCH, Masking.NONE, pass);
  }

  /** For people. */
  String label() {
    return shape + " " + variant.label() + " "
        + (masking == Masking.NONE ? "" : masking.label() + " ") + pass.label()
        + (series == Series.AGAIN ? ", again" : "");
  }

  /**
   * Memory in the heap for all contenders' tensors. A generous estimate from the tensors that the
   * contenders hold, not a measurement: what it leaves over costs nothing, and what it lacks would
   * end a contender.
   */
  long heapBytes() {
    return 256L * 1024 * 1024 + (pass == Pass.FORWARD ? 9 : 16) * shape.bytes();
  }

  /** The same outside of the heap, where the arrays of libtorch, ND4J and C are. */
  long nativeBytes() {
    return 512L * 1024 * 1024 + (pass == Pass.FORWARD ? 12 : 22) * shape.bytes();
  }
}
