package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.MapFunction;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** On executors that are processes of their own, with VBN's jars as a cluster gets them. */
class ClusterIT {
  private static final StructType SCHEMA = new StructType()
      .add("id", DataTypes.LongType)
      .add("features", SQLDataTypes.VectorType())
      .add("batch", DataTypes.LongType);

  private static SparkSession spark;

  @BeforeAll
  static void start() throws IOException {
    spark = ClusterSpark.start(name -> true);
  }

  @AfterAll
  static void stop() {
    spark.stop();
  }

  private static double[] example(long id) {
    SplittableRandom random = new SplittableRandom(id);
    double[] values = new double[5];
    for (int i = 0; i < values.length; i++) {
      values[i] = 100 * i + random.nextGaussian();
    }
    return values;
  }

  private static List<double[]> examples(int rows) {
    List<double[]> examples = new ArrayList<>();
    for (int id = 0; id < rows; id++) {
      examples.add(example(id));
    }
    return examples;
  }

  private static Dataset<Row> data(int rows, int partitions) {
    return spark
        .range(0, rows, 1, partitions)
        .map(
            (MapFunction<Long, Row>)
                id -> RowFactory.create(id, Vectors.dense(example(id)), id % 3),
            Encoders.row(SCHEMA));
  }

  @Test
  void executorsFitAndScore() {
    List<double[]> examples = examples(300);
    ReferenceMoments expected =
        ReferenceMoments.of(Formula.mean(examples), Formula.variance(examples), 300, 300);
    for (int partitions : new int[] {1, 4}) {
      assertEquals(expected, SparkMoments.of(data(300, partitions), "features"));
    }
    // The second pass makes each executor open its backend.
    for (String variant : List.of("reference-only", "per-example", "pooled")) {
      VirtualBatchNormalizerModel model = new VirtualBatchNormalizer()
          .setOutputCol("normalized")
          .setBatchCol("batch")
          .setVariant(variant)
          .setSummation("fast")
          .fit(data(300, 4));
      List<Row> rows = model.transform(data(300, 4)).orderBy("id").collectAsList();
      List<double[]> live = variant.equals("per-example")
          ? examples.subList(7, 8)
          : examples.stream().filter(each -> examples.indexOf(each) % 3 == 1).toList();
      double weight = switch (variant) {
        case "reference-only" -> 0;
        case "per-example" -> 1 / 301.0;
        default -> 0.25;
      };
      assertEquals(300, rows.size());
      for (int i = 0; i < 5; i++) {
        assertEquals(
            Formula.normalized(examples.get(7)[i], i, examples, live, weight, 1e-5),
            rows.get(7).<Vector>getAs("normalized").apply(i),
            1e-11);
      }
    }
  }

  /** Every task of one partition's first attempt takes its executor with it in the middle. */
  @Test
  void aTaskThatIsKilledAndRunAgainChangesNoBit() throws Exception {
    List<String> ends = Collections.synchronizedList(new ArrayList<>());
    SparkListener listener = new SparkListener() {
      @Override
      public void onTaskEnd(SparkListenerTaskEnd end) {
        ends.add(
            "task " + end.taskInfo().index() + ", attempt " + end.taskInfo().attemptNumber()
                + " on executor " + end.taskInfo().executorId() + ": " + end.reason());
      }
    };
    spark.sparkContext().addSparkListener(listener);
    Dataset<Row> deadly = data(2000, 4)
        .map(
            (MapFunction<Row, Row>) row -> {
              if (row.getLong(0) == 1250 && TaskContext.get().attemptNumber() == 0) {
                Runtime.getRuntime().halt(9);
              }
              return row;
            },
            Encoders.row(SCHEMA));
    List<double[]> examples = examples(2000);
    ReferenceMoments expected =
        ReferenceMoments.of(Formula.mean(examples), Formula.variance(examples), 2000, 2000);
    assertEquals(expected, SparkMoments.of(deadly, "features"));
    spark.sparkContext().listenerBus().waitUntilEmpty();
    spark.sparkContext().removeSparkListener(listener);
    ends.forEach(System.out::println);
    assertTrue(
        ends.stream()
            .anyMatch(
                end -> end.startsWith("task 2, attempt 0") && end.contains("ExecutorLostFailure")),
        ends::toString);
    assertTrue(
        ends.stream()
            .anyMatch(end -> end.startsWith("task 2, attempt 1") && end.contains("Success")),
        ends::toString);
  }

  /** 5.4 GB, ten times an executor's heap. */
  @Test
  void dataMayBeLargerThanMemory() {
    int features = 1024;
    int rows = 655_360;
    ReferenceMoments moments = SparkMoments.of(
        spark
            .range(0, rows, 1, 16)
            .map(
                (MapFunction<Long, Row>) id -> {
                  double[] values = new double[features];
                  for (int i = 0; i < features; i++) {
                    values[i] = (id * 31 + i) % 1009;
                  }
                  return RowFactory.create(id, Vectors.dense(values), 0L);
                },
                Encoders.row(SCHEMA)),
        "features");
    assertEquals(rows, moments.examples());
    double[] mean = new double[features];
    double[] variance = new double[features];
    for (int i = 0; i < features; i++) {
      long sum = 0;
      long squares = 0;
      for (long id = 0; id < rows; id++) {
        long value = (id * 31 + i) % 1009;
        sum += value;
        squares += value * value;
      }
      mean[i] = BigDecimal.valueOf(sum)
          .divide(BigDecimal.valueOf(rows), MathContext.DECIMAL128)
          .doubleValue();
      BigInteger numerator = BigInteger.valueOf(squares)
          .multiply(BigInteger.valueOf(rows))
          .subtract(BigInteger.valueOf(sum).pow(2));
      variance[i] = new BigDecimal(numerator)
          .divide(BigDecimal.valueOf(rows).pow(2), MathContext.DECIMAL128)
          .doubleValue();
    }
    assertArrayEquals(mean, moments.mean());
    assertArrayEquals(variance, moments.variance());
  }
}
