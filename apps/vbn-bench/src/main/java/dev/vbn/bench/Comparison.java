package dev.vbn.bench;

import dev.vbn.Variant;
import java.io.Serializable;

/**
 * One question that all contenders are asked, in turn: the unit within which times are compared.
 *
 * @param series what it is a part of
 */
record Comparison(Series series, Shape shape, Variant variant, Pass pass) implements Serializable {

  /** What the comparisons together show. */
  enum Series {
    /** A few shapes in every detail. */
    SHAPES,
    /** The forward pass from small to large. */
    SIZES,
    /** The variants other than the default, which {@link #SHAPES} has. */
    VARIANTS
  }

  /** For people. */
  String label() {
    return shape + " " + variant.label() + " " + pass.label();
  }

  /**
   * Memory in the heap for all contenders' tensors. A generous estimate from the tensors that the
   * contenders hold, not a measurement: what it leaves over costs nothing, and what it lacks would
   * end a contender.
   */
  long heapBytes() {
    return 256L * 1024 * 1024 + (pass == Pass.FORWARD ? 8 : 14) * shape.bytes();
  }

  /** The same outside of the heap, where the arrays of libtorch and ND4J are. */
  long nativeBytes() {
    return 512L * 1024 * 1024 + (pass == Pass.FORWARD ? 11 : 18) * shape.bytes();
  }
}
