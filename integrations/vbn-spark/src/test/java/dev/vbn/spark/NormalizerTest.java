package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.apache.spark.ml.attribute.AttributeGroup;
import org.apache.spark.ml.feature.StandardScaler;
import org.apache.spark.ml.feature.StandardScalerModel;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import scala.collection.Seq;
import scala.jdk.javaapi.CollectionConverters;

/** What fit and transform compute. */
class NormalizerTest {
  private static final double[][] EXAMPLES = LocalSpark.examples(60, 3);
  private static final double EPSILON = 0.25;

  private static VirtualBatchNormalizer normalizer() {
    return new VirtualBatchNormalizer().setOutputCol("normalized").setEpsilon(EPSILON);
  }

  private static Map<Integer, double[]> outputs(Dataset<Row> data) {
    Map<Integer, double[]> outputs = new TreeMap<>();
    for (Row row : data.select("id", "normalized").collectAsList()) {
      outputs.put(row.getInt(0), row.<Vector>getAs(1).toArray());
    }
    return outputs;
  }

  /** StandardScaler has no epsilon and divides by n - 1. */
  @Test
  void referenceOnlyIsStandardScalerButForEpsilonAndTheBias() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizerModel model = normalizer().fit(data);
    StandardScalerModel scaler = new StandardScaler()
        .setInputCol("features")
        .setOutputCol("normalized")
        .setWithMean(true)
        .fit(data);
    Map<Integer, double[]> scaled = outputs(scaler.transform(data));
    Map<Integer, double[]> outputs = outputs(model.transform(data));
    assertEquals(EXAMPLES.length, outputs.size());
    double n = EXAMPLES.length;
    for (int i = 0; i < 3; i++) {
      double deviation = scaler.std().apply(i);
      double factor = deviation / Math.sqrt(deviation * deviation * (n - 1) / n + EPSILON);
      for (int id = 0; id < n; id++) {
        assertEquals(scaled.get(id)[i] * factor, outputs.get(id)[i], 1e-11);
      }
    }
  }

  /** The function of rows is not the backend, and has its bits. */
  @Test
  void referenceOnlyHasTheBitsOfTheReferenceBackend() {
    double[][] examples = LocalSpark.examples(20, 33);
    examples[3][5] = Double.NaN;
    examples[4][6] = Double.POSITIVE_INFINITY;
    examples[5][7] = 0;
    Dataset<Row> data = LocalSpark.vectors(examples);
    VirtualBatchNormalizerModel model = normalizer().fit(data.filter("id > 5"));
    Map<Integer, double[]> outputs = outputs(model.transform(data));
    VbnConfig config = VbnConfig.of(33).withEpsilon(EPSILON).withVariant(Variant.REFERENCE_ONLY);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open("reference", HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
        ReferenceStatistics<HostTensor> reference =
            ReferenceStatistics.of(backend, model.moments())) {
      double[] all = Arrays.stream(examples).flatMapToDouble(Arrays::stream).toArray();
      try (Output<HostTensor> output = layer.forward(HostTensor.of(all, 20, 33), reference)) {
        double[] expected = output.output().doubles();
        for (int id = 0; id < 20; id++) {
          assertArrayEquals(Arrays.copyOfRange(expected, id * 33, (id + 1) * 33), outputs.get(id));
        }
      }
    }
  }

  /** N, R and the weights as the README's table has them. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void everyVariantIsTheFormula(Variant variant) {
    List<double[]> reference = List.of(EXAMPLES).subList(0, 40);
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizerModel model =
        normalizer().setVariant(variant.label()).setBatchCol("batch").fit(data.filter("id < 40"));
    Map<Integer, double[]> outputs = outputs(model.transform(data));
    assertEquals(60, outputs.size());
    List<List<double[]>> batches = new ArrayList<>();
    for (int batch = 0; batch < 3; batch++) {
      int first = batch;
      batches.add(IntStream.range(0, 20).mapToObj(k -> EXAMPLES[3 * k + first]).toList());
    }
    for (int id = 0; id < 60; id++) {
      List<double[]> live =
          variant == Variant.PER_EXAMPLE ? List.of(EXAMPLES[id]) : batches.get(id % 3);
      double weight = switch (variant) {
        case LIVE_BATCH -> 1 / 21.0;
        case BATCH, PER_EXAMPLE -> 1 / 41.0;
        case POOLED -> 20 / 60.0;
        case REFERENCE_ONLY -> 0;
      };
      for (int i = 0; i < 3; i++) {
        double expected = Formula.normalized(EXAMPLES[id][i], i, reference, live, weight, EPSILON);
        assertEquals(expected, outputs.get(id)[i], 1e-11, variant + ", id " + id);
      }
    }
  }

  /** A live batch is what batchCol says, wherever its rows are. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void partitioningChangesNoBitOfAnOutput(Variant variant) {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizerModel model =
        normalizer().setVariant(variant.label()).setBatchCol("batch").fit(data);
    Map<Integer, double[]> expected = outputs(model.transform(data.coalesce(1)));
    for (Dataset<Row> arranged : List.of(
        data.repartition(7), data.repartitionByRange(2, functions.col("id").desc()))) {
      Map<Integer, double[]> outputs = outputs(model.transform(arranged));
      expected.forEach((id, output) -> assertArrayEquals(output, outputs.get(id)));
    }
  }

  @Test
  void nullIsABatchLikeOthers() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizerModel model =
        normalizer().setVariant("live-batch").setBatchCol("batch").fit(data);
    Dataset<Row> withNull = data.withColumn(
        "batch", functions.when(functions.col("batch").equalTo(1), null).otherwise(7));
    Dataset<Row> without = withNull.na().fill(1);
    Map<Integer, double[]> expected = outputs(model.transform(without));
    Map<Integer, double[]> outputs = outputs(model.transform(withNull));
    assertEquals(60, outputs.size());
    expected.forEach((id, output) -> assertArrayEquals(output, outputs.get(id)));
  }

  @Test
  void sparseVectorsAreTheDenseOnes() {
    List<Row> dense = new ArrayList<>();
    List<Row> sparse = new ArrayList<>();
    for (int id = 0; id < 20; id++) {
      double[] values = {0, id % 4 == 0 ? id : 0, -id};
      dense.add(RowFactory.create(id, Vectors.dense(values)));
      sparse.add(RowFactory.create(id, Vectors.dense(values).toSparse()));
    }
    StructType schema = new StructType()
        .add("id", DataTypes.IntegerType)
        .add("features", SQLDataTypes.VectorType());
    Dataset<Row> expected = LocalSpark.session().createDataFrame(dense, schema);
    Dataset<Row> given = LocalSpark.session().createDataFrame(sparse, schema);
    VirtualBatchNormalizerModel model = normalizer().fit(given);
    assertEquals(normalizer().fit(expected).moments(), model.moments());
    Map<Integer, double[]> outputs = outputs(model.transform(given));
    outputs(model.transform(expected))
        .forEach((id, output) -> assertArrayEquals(output, outputs.get(id)));
  }

  private static Dataset<Row> column(DataType type, List<?> values) {
    List<Row> rows = new ArrayList<>();
    for (int id = 0; id < values.size(); id++) {
      rows.add(RowFactory.create(id, values.get(id), 0));
    }
    return LocalSpark.session()
        .createDataFrame(
            rows,
            new StructType()
                .add("id", DataTypes.IntegerType)
                .add("features", type)
                .add("batch", DataTypes.IntegerType));
  }

  @Test
  void arraysAreVectorsOfTheirType() {
    Dataset<Row> doubles =
        column(DataTypes.createArrayType(DataTypes.DoubleType), List.of(EXAMPLES));
    VirtualBatchNormalizerModel model = normalizer().fit(doubles);
    assertArrayEquals(Formula.mean(List.of(EXAMPLES)), model.moments().mean());
    Dataset<Row> output = model.transform(doubles);
    assertEquals("array<double>", output.schema().apply("normalized").dataType().catalogString());
    Map<Integer, double[]> expected = outputs(model.transform(LocalSpark.vectors(EXAMPLES)));
    for (Row row : output.collectAsList()) {
      assertEquals(boxed(expected.get(row.getInt(0))), row.getList(row.fieldIndex("normalized")));
    }

    List<float[]> singles = List.of(new float[] {1, 10}, new float[] {3, 30});
    Dataset<Row> floats = column(DataTypes.createArrayType(DataTypes.FloatType), singles);
    Dataset<Row> normalized = normalizer().setEpsilon(3).fit(floats).transform(floats);
    assertEquals(
        "array<float>", normalized.schema().apply("normalized").dataType().catalogString());
    List<Float> first = normalized.filter("id = 0").head().getList(3);
    assertEquals(-0.5, first.get(0), 1e-7); // (1 - 2) / sqrt(1 + 3)
    assertEquals(-10 / Math.sqrt(103), first.get(1), 1e-7);
  }

  private static List<Double> boxed(double[] values) {
    return Arrays.stream(values).boxed().toList();
  }

  /** Of two features; NaN and null are padding. */
  private static Dataset<Row> sequences() {
    List<Row> rows = List.of(
        RowFactory.create(0, new double[][] {{1, 10}, {3, 30}, {Double.NaN, 7}}, 2, 5),
        RowFactory.create(1, new double[][] {{5, 50}}, 1, 5),
        RowFactory.create(2, new double[][] {{0, 0}, null}, 0, 5));
    return LocalSpark.session()
        .createDataFrame(
            rows,
            new StructType()
                .add("id", DataTypes.IntegerType)
                .add(
                    "features",
                    DataTypes.createArrayType(DataTypes.createArrayType(DataTypes.DoubleType)))
                .add("length", DataTypes.IntegerType)
                .add("batch", DataTypes.IntegerType));
  }

  private static double[][] sequence(Dataset<Row> data, int id) {
    Row row = data.filter("id = " + id).head();
    Seq<?> positions = row.getAs("normalized");
    return CollectionConverters.asJava(positions).stream()
        .map(values -> CollectionConverters.asJava((Seq<?>) values).stream()
            .mapToDouble(value -> ((Number) value).doubleValue())
            .toArray())
        .toArray(double[][]::new);
  }

  @Test
  void whatLengthsLeaveOutHasNoEffect() {
    Dataset<Row> data = sequences();
    for (String summation : List.of("exact", "fast")) {
      VirtualBatchNormalizerModel model =
          normalizer().setMaskCol("length").setSummation(summation).fit(data);
      assertEquals(2, model.moments().examples());
      assertEquals(3, model.moments().elements());
      assertArrayEquals(new double[] {3, 30}, model.moments().mean(), 1e-14);
      assertArrayEquals(new double[] {8 / 3.0, 800 / 3.0}, model.moments().variance(), 1e-12);
      Dataset<Row> output = model.transform(data);
      assertEquals(
          "array<array<double>>", output.schema().apply("normalized").dataType().catalogString());
      double s = Math.sqrt(8 / 3.0 + EPSILON);
      double t = Math.sqrt(800 / 3.0 + EPSILON);
      assertRows(new double[][] {{-2 / s, -20 / t}, {0, 0}, {0, 0}}, sequence(output, 0));
      assertRows(new double[][] {{2 / s, 20 / t}}, sequence(output, 1));
      assertRows(new double[][] {{0, 0}, {0, 0}}, sequence(output, 2));
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void sequencesOfEveryVariantAreTheFormula(Variant variant) {
    Dataset<Row> data = sequences();
    List<double[]> counted =
        List.of(new double[] {1, 10}, new double[] {3, 30}, new double[] {5, 50});
    Dataset<Row> output = normalizer()
        .setMaskCol("length")
        .setVariant(variant.label())
        .setBatchCol("batch")
        .fit(data)
        .transform(data);
    double weight = switch (variant) { // 2 examples count in both batches, and 3 elements
      case LIVE_BATCH, BATCH, PER_EXAMPLE -> 1 / 3.0;
      case POOLED -> 0.5;
      case REFERENCE_ONLY -> 0;
    };
    List<double[]> live = variant == Variant.PER_EXAMPLE ? counted.subList(0, 2) : counted;
    double[][] expected = new double[3][2];
    for (int p = 0; p < 2; p++) {
      for (int i = 0; i < 2; i++) {
        expected[p][i] = Formula.normalized(counted.get(p)[i], i, counted, live, weight, EPSILON);
      }
    }
    assertRows(expected, sequence(output, 0));
    assertRows(new double[][] {{0, 0}, {0, 0}}, sequence(output, 2));
  }

  @Test
  void sequencesOfFloatsWithoutLengthsCountAll() {
    DataType type = DataTypes.createArrayType(DataTypes.createArrayType(DataTypes.FloatType));
    Dataset<Row> data = column(type, List.of(new float[][] {{1}, {3}}, new float[][] {{5}}));
    VirtualBatchNormalizerModel model = normalizer().fit(data);
    assertEquals(2, model.moments().examples());
    assertEquals(3, model.moments().elements());
    Dataset<Row> output = model.transform(data);
    assertEquals(
        "array<array<float>>", output.schema().apply("normalized").dataType().catalogString());
    double s = Math.sqrt(8 / 3.0 + EPSILON);
    double[][] first = sequence(output, 0);
    assertEquals(-2 / s, first[0][0], 1e-6);
    assertEquals(0, first[1][0], 1e-6);
  }

  private static void assertRows(double[][] expected, double[][] rows) {
    assertEquals(expected.length, rows.length);
    for (int i = 0; i < rows.length; i++) {
      assertArrayEquals(expected[i], rows[i], 1e-12);
    }
  }

  @Test
  void schemaIsThatOfTheOutput() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizer normalizer = normalizer();
    VirtualBatchNormalizerModel model = normalizer.fit(data);
    StructType schema = model.transform(data).schema();
    assertEquals(model.transformSchema(data.schema()).catalogString(), schema.catalogString());
    assertEquals(normalizer.transformSchema(data.schema()).catalogString(), schema.catalogString());
    assertEquals(3, AttributeGroup.fromStructField(schema.apply("normalized")).size());
    for (Variant variant : Variant.values()) {
      ParamMap extra = new ParamMap()
          .put(model.getParam("variant"), variant.label())
          .put(model.getParam("batchCol"), "batch");
      VirtualBatchNormalizerModel other = model.copy(extra);
      assertEquals(
          other.transformSchema(data.schema()).catalogString(),
          other.transform(data).schema().catalogString());
    }
  }

  /** Columns whose names need quotes are columns too. */
  @Test
  void namesMayHaveDotsAndBackticks() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES)
        .withColumnRenamed("features", "a.b`c")
        .withColumnRenamed("batch", "x.y");
    VirtualBatchNormalizerModel model = new VirtualBatchNormalizer()
        .setInputCol("a.b`c")
        .setOutputCol("normalized")
        .setBatchCol("x.y")
        .setVariant("pooled")
        .fit(data);
    assertEquals(60, outputs(model.transform(data)).size());
  }

  /** No operator stands between the columns and the function, and no other column is read. */
  @Test
  void referenceOnlyKeepsThePlan() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizerModel model = normalizer().fit(data);
    data.repartition(2).write().mode("overwrite").parquet("target/plan.parquet");
    Dataset<Row> stored = LocalSpark.session().read().parquet("target/plan.parquet");
    String plan = model
        .transform(stored)
        .filter("id = 3")
        .select("normalized")
        .queryExecution()
        .executedPlan()
        .toString();
    assertTrue(plan.contains("ReadSchema: struct<id:int,features"), plan);
    assertFalse(plan.contains("batch"), plan);
    assertTrue(plan.contains("PushedFilters: [IsNotNull(id), EqualTo(id,3)]"), plan);
    assertFalse(plan.contains("MapPartitions"), plan);
    assertFalse(plan.contains("DeserializeToObject"), plan);
  }

  @Test
  void copiesAreOfTheSameSettings() {
    VirtualBatchNormalizer normalizer = normalizer().setVariant("per-example").setBackend("djl");
    VirtualBatchNormalizer copy = normalizer.copy(ParamMap.empty());
    assertEquals(normalizer.uid(), copy.uid());
    assertEquals("per-example", copy.getOrDefault(copy.variant()));
    assertEquals("djl", copy.getOrDefault(copy.backend()));
    VirtualBatchNormalizer fitted = normalizer();
    VirtualBatchNormalizerModel model = fitted.fit(LocalSpark.vectors(EXAMPLES));
    assertSame(fitted, model.parent());
    VirtualBatchNormalizerModel other =
        model.copy(new ParamMap().put(model.epsilon().w(2)));
    assertEquals(2.0, other.getOrDefault(other.epsilon()));
    assertEquals(EPSILON, model.getOrDefault(model.epsilon()));
    assertEquals(model.moments(), other.moments());
  }
}
