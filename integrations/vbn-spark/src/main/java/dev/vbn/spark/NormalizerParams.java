package dev.vbn.spark;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Scope;
import java.io.Serializable;
import java.util.Arrays;
import org.apache.spark.ml.param.DoubleParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.Params;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;
import scala.Function1;

/**
 * The parameters that the estimator and its model have. MLlib finds those of a class by its public
 * methods, so both hand them out one by one.
 */
final class NormalizerParams implements Serializable {
  private static final long serialVersionUID = 1L;

  static final String EXACT = "exact";
  static final String FAST = "fast";

  final Param<String> inputCol;
  final Param<String> outputCol;
  final Param<String> maskCol;
  final Param<String> batchCol;
  final Param<String> variant;
  final DoubleParam epsilon;
  final Param<String> summation;
  final Param<String> backend;

  NormalizerParams(Params parent) {
    inputCol = new Param<>(
        parent,
        "inputCol",
        "column of examples: vectors, arrays of float or double, or sequences (arrays of arrays)");
    outputCol = new Param<>(parent, "outputCol", "column of normalised examples");
    maskCol =
        new Param<>(parent, "maskCol", "column of lengths: how many positions of a sequence count");
    batchCol = new Param<>(
        parent,
        "batchCol",
        "column whose equal values share a live batch, for variants that mix it");
    variant =
        new Param<>(parent, "variant", "which live statistics are mixed in", checked(Variant::of));
    epsilon = new DoubleParam(
        parent,
        "epsilon",
        "added to the variance inside the root",
        checked(value -> VbnConfig.of(1).withEpsilon((Double) value)));
    summation = new Param<>(
        parent,
        "summation",
        "exact, for the same bits however the data are partitioned, or fast",
        checked(NormalizerParams::requireSummation));
    backend = new Param<>(parent, "backend", "name of the backend that executors open");
  }

  private interface Check<T> extends Serializable {
    void accept(T value);
  }

  /** MLlib's own refusal does not say what was expected. */
  private static <T> Function1<T, Object> checked(Check<T> check) {
    return (Function1<T, Object> & Serializable) value -> {
      check.accept(value);
      return true;
    };
  }

  private static void requireSummation(String summation) {
    if (!summation.equals(EXACT) && !summation.equals(FAST)) {
      throw new IllegalArgumentException(
          "summation is '" + summation + "'; expected " + EXACT + " or " + FAST);
    }
  }

  static @Nullable String orNull(Params parent, Param<String> param) {
    return parent.isDefined(param) ? parent.getOrDefault(param) : null;
  }

  /** Whether rows normalised by this variant depend on their companions. */
  static boolean mixesLiveBatch(Variant variant) {
    return variant.scope() == Scope.BATCH;
  }

  /**
   * The schema with the output column.
   *
   * @throws IllegalArgumentException if a column is not as expected
   */
  StructType transformSchema(Params parent, StructType schema) {
    Examples examples = Examples.of(schema, parent.getOrDefault(inputCol), orNull(parent, maskCol));
    Variant named = Variant.of(parent.getOrDefault(variant));
    String batch = orNull(parent, batchCol);
    if (mixesLiveBatch(named)) {
      if (batch == null) {
        throw new IllegalArgumentException(
            "variant " + named.label() + " was given without batchCol;"
                + " expected the column that says which rows share a live batch, for outputs would"
                + " depend on how Spark partitions the rows");
      }
      Examples.field(schema, batch);
    }
    String output = parent.getOrDefault(outputCol);
    if (Arrays.asList(schema.fieldNames()).contains(output)) {
      throw new IllegalArgumentException(
          "output column '" + output + "' is there already; expected a new name");
    }
    return schema.add(output, examples.type(), true);
  }
}
