package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is refused says what was given and what was expected. */
class BadInputTest {
  private static final DataType SEQUENCES =
      DataTypes.createArrayType(DataTypes.createArrayType(DataTypes.DoubleType));
  private static final Dataset<Row> GOOD = LocalSpark.vectors(LocalSpark.examples(4, 2));

  private static VirtualBatchNormalizer normalizer() {
    return new VirtualBatchNormalizer().setOutputCol("normalized");
  }

  private static void refused(String message, Executable call) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, call).getMessage());
  }

  /** Spark wraps what a task throws, once or more. */
  private static void refusedByATask(String message, Executable call) {
    Throwable refusal = assertThrows(Exception.class, call);
    List<String> messages = new ArrayList<>();
    for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
      messages.add(String.valueOf(cause.getMessage()));
    }
    assertTrue(
        messages.stream().anyMatch(text -> text.contains(message)),
        () -> message + "\n is not among\n" + messages);
  }

  private static Dataset<Row> column(DataType type, Object... values) {
    List<Row> rows = new ArrayList<>();
    for (Object value : values) {
      rows.add(RowFactory.create(value, 2));
    }
    return LocalSpark.session()
        .createDataFrame(
            rows, new StructType().add("features", type).add("length", DataTypes.IntegerType));
  }

  @Test
  void parameters() {
    refused(
        "variant is 'live'; expected one of live-batch, batch, per-example, pooled, reference-only",
        () -> normalizer().setVariant("live"));
    refused(
        "epsilon is 0.0; expected a finite number above 0", () -> normalizer().setEpsilon(0));
    refused(
        "epsilon is NaN; expected a finite number above 0",
        () -> normalizer().setEpsilon(Double.NaN));
    refused("summation is 'Fast'; expected exact or fast", () -> normalizer().setSummation("Fast"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"live-batch", "batch", "pooled"})
  void variantsThatMixTheLiveBatchNeedToKnowIt(String variant) {
    String message = "variant " + variant + " was given without batchCol; expected the column that"
        + " says which rows share a live batch, for outputs would depend on how Spark partitions"
        + " the rows";
    refused(message, () -> normalizer().setVariant(variant).fit(GOOD));
    VirtualBatchNormalizerModel model = normalizer().fit(GOOD).setVariant(variant);
    refused(message, () -> model.transform(GOOD));
    refused(
        "there is no column 'b'; expected one of id, features, batch",
        () -> model.setBatchCol("b").transform(GOOD));
  }

  @Test
  void columns() {
    refused(
        "there is no column 'x'; expected one of id, features, batch",
        () -> normalizer().setInputCol("x").fit(GOOD));
    refused(
        "column 'id' is of type int; expected vector, array<float>, array<double>, or of sequences"
            + " array<array<float>> or array<array<double>>",
        () -> normalizer().setInputCol("id").fit(GOOD));
    refused(
        "output column 'batch' is there already; expected a new name",
        () -> normalizer().setOutputCol("batch").fit(GOOD));
    refused(
        "lengths were given in column 'id' for column 'features' of type vector; expected lengths"
            + " for sequences alone: array<array<float>> or array<array<double>>",
        () -> normalizer().setMaskCol("id").fit(GOOD));
    refused(
        "column 'features' of lengths is of type array<array<double>>; expected int or bigint",
        () -> normalizer().setMaskCol("features").fit(column(SEQUENCES, (Object) null)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"exact", "fast"})
  void referenceBatches(String summation) {
    VirtualBatchNormalizer normalizer = normalizer().setSummation(summation);
    refused(
        "column 'features' has no example that counts; expected a reference batch of at least one",
        () -> normalizer.fit(GOOD.filter("id > 4")));
    refusedByATask(
        "column 'features' has null in a row; expected an example in every row",
        () -> normalizer.fit(column(SQLDataTypes.VectorType(), (Object) null)));
    refusedByATask(
        "column 'features' has examples of 2 features and of 3; expected the same number in all",
        () -> normalizer.fit(column(
                SQLDataTypes.VectorType(),
                Vectors.dense(1, 2),
                Vectors.sparse(3, new int[0], new double[0]))
            .coalesce(1)));
    refusedByATask(
        "column 'features' has an example without values; expected one of each feature",
        () -> normalizer.fit(column(SQLDataTypes.VectorType(), Vectors.zeros(0))));
    refusedByATask(
        "column 'features' has an example with null for feature 1; expected a number",
        () -> normalizer.fit(column(
            DataTypes.createArrayType(DataTypes.DoubleType), (Object) new Double[] {1.0, null})));
    refusedByATask(
        "column 'features' has a sequence with 1 values at position 1; expected 2, as at position 0",
        () -> normalizer.fit(column(SEQUENCES, (Object) new double[][] {{1, 2}, {3}})));
    refusedByATask(
        "column 'features' has a sequence with null at position 0; expected an array of numbers",
        () -> normalizer.fit(column(SEQUENCES, (Object) new double[][] {null})));
    refusedByATask(
        "column 'features' has a sequence of 1 positions with length 2; expected a length of 0 to 1",
        () -> normalizer.setMaskCol("length").fit(column(SEQUENCES, (Object)
            new double[][] {{1, 2}})));
  }

  @Test
  void lengthsOfNull() {
    Dataset<Row> data = column(SEQUENCES, (Object) new double[][] {{1, 2}});
    VirtualBatchNormalizerModel model =
        normalizer().setMaskCol("length").fit(data.withColumn("length", functions.lit(1)));
    Dataset<Row> withNull = data.withColumn("length", functions.expr("int(NULL)"));
    String message = "column 'length' of lengths has null in a row; expected a length of 0 to 1";
    refusedByATask(message, () -> normalizer().setMaskCol("length").fit(withNull));
    refusedByATask(message, () -> model.transform(withNull).collect());
  }

  /** Wherever they are, with a number of features in each partition. */
  @Test
  void partitionsOfDifferentFeatures() {
    Dataset<Row> data = column(SQLDataTypes.VectorType(), Vectors.dense(1, 2))
        .union(column(SQLDataTypes.VectorType(), Vectors.dense(1, 2, 3)));
    assertThrows(Exception.class, () -> normalizer().fit(data));
    refused(
        "statistics of 3 features were given to merge; expected 2 features",
        () -> normalizer().setSummation("fast").fit(data));
  }

  @Test
  void nonFiniteReferenceBatches() {
    Dataset<Row> data = column(
        SQLDataTypes.VectorType(),
        Vectors.dense(1, Double.NaN),
        Vectors.dense(2, Double.POSITIVE_INFINITY),
        Vectors.dense(1, 2));
    refused(
        "column 'features' has NaN or infinity in feature 1 (2 of 3 elements); expected finite"
            + " numbers in a reference batch",
        () -> normalizer().fit(data));
    refused(
        "column 'features' has NaN or infinity in feature 1, or numbers whose squares overflow;"
            + " expected a finite variance",
        () -> normalizer().setSummation("fast").fit(data));
    refused(
        "column 'features' has a variance beyond the largest double in feature 0; expected a finite"
            + " variance",
        () -> normalizer()
            .fit(column(SQLDataTypes.VectorType(), Vectors.dense(-1e300), Vectors.dense(1e300))));
  }

  @Test
  void rowsToNormalize() {
    VirtualBatchNormalizerModel model = normalizer().fit(GOOD);
    refusedByATask(
        "column 'features' has an example of 3 features; expected 2, as the model was fitted to",
        () ->
            model.transform(column(SQLDataTypes.VectorType(), Vectors.zeros(3))).collect());
    refusedByATask(
        "column 'features' has null in a row; expected an example in every row",
        () -> model.transform(column(SQLDataTypes.VectorType(), (Object) null)).collect());
  }

  @Test
  void backendsThatAreNotThere() {
    refusedByATask(
        "executor driver, class loader ",
        () -> normalizer().setSummation("fast").setBackend("abacus").fit(GOOD));
    refusedByATask(
        "no backend 'abacus' was found; considered:\n  reference: available, not asked for",
        () -> normalizer()
            .setVariant("per-example")
            .setBackend("abacus")
            .fit(GOOD)
            .transform(GOOD)
            .collect());
  }
}
