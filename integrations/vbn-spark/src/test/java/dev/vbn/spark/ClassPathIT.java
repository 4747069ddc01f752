package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import java.io.IOException;
import java.util.List;
import org.apache.spark.SparkException;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Executors that were not given the backend, which the driver has. */
class ClassPathIT {
  private static SparkSession spark;
  private static Dataset<Row> data;

  @BeforeAll
  static void start() throws IOException {
    spark = ClusterSpark.start(name -> !name.startsWith("vbn-reference"));
    List<Row> rows =
        List.of(RowFactory.create(Vectors.dense(1, 10)), RowFactory.create(Vectors.dense(3, 30)));
    data = spark
        .createDataFrame(rows, new StructType().add("features", SQLDataTypes.VectorType()))
        .repartition(2);
  }

  @AfterAll
  static void stop() {
    spark.stop();
  }

  @Test
  void theErrorNamesExecutorLoaderAndWhatIsMissing() {
    VirtualBatchNormalizer fast = new VirtualBatchNormalizer().setSummation("fast");
    // Each attempt on each executor has the whole of it, not the first alone.
    for (int attempt = 0; attempt < 2; attempt++) {
      Throwable refusal = assertThrows(SparkException.class, () -> fast.fit(data));
      String message = String.valueOf(refusal.getMessage());
      System.out.println(message.lines().limit(7).toList());
      assertTrue(message.contains("Lost task"), message);
      assertTrue(message.contains("IllegalStateException: executor "), message);
      assertTrue(
          message.contains(", class loader org.apache.spark.util.MutableURLClassLoader"), message);
      assertTrue(message.contains("of [vbn-") || message.contains(", vbn-api-"), message);
      assertTrue(message.contains("no backend 'reference' was found; considered: none"), message);
      assertTrue(message.contains("all by --jars (spark.jars)"), message);
    }
  }

  /** Exact statistics and reference-only outputs of vectors need no backend. */
  @Test
  void theDefaultsNeedNoBackend() {
    VirtualBatchNormalizerModel model =
        new VirtualBatchNormalizer().setOutputCol("normalized").fit(data);
    assertEquals(
        ReferenceMoments.of(new double[] {2, 20}, new double[] {1, 100}, 2, 2), model.moments());
    assertEquals(2, model.transform(data).collectAsList().size());
  }
}
