package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeoutException;
import org.apache.spark.api.java.function.MapFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.expressions.UserDefinedFunction;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.streaming.StreamingQuery;
import org.apache.spark.sql.streaming.StreamingQueryException;
import org.apache.spark.sql.streaming.Trigger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import scala.Tuple2;

/** Statistics per key, in SQL, in typed code and on streams. */
class MomentsAggregatorTest {
  @TempDir
  Path directory;

  private static final double[][] EXAMPLES = LocalSpark.examples(100, 3);
  private static final SparkSession SPARK = LocalSpark.session();

  private static void assertExpected(List<Row> perBatch) {
    assertEquals(3, perBatch.size());
    for (Row row : perBatch) {
      assertEquals(expected(row.getInt(0)), MomentsAggregator.moments(row.getStruct(1)));
    }
  }

  private static ReferenceMoments expected(int batch) {
    List<double[]> examples = new ArrayList<>();
    for (int id = batch; id < EXAMPLES.length; id += 3) {
      examples.add(EXAMPLES[id]);
    }
    return ReferenceMoments.of(
        Formula.mean(examples), Formula.variance(examples), examples.size(), examples.size());
  }

  @Test
  void perKey() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    UserDefinedFunction moments =
        MomentsAggregator.of(data.schema(), "features").function();
    for (int partitions : new int[] {1, 7}) {
      assertExpected(data.repartition(partitions)
          .groupBy("batch")
          .agg(moments.apply(functions.col("features")))
          .collectAsList());
    }
  }

  @Test
  void inSql() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    SPARK
        .udf()
        .register("vbn_moments", MomentsAggregator.of(data.schema(), "features").function());
    data.createOrReplaceTempView("examples");
    assertExpected(SPARK
        .sql("SELECT batch, vbn_moments(features) FROM examples GROUP BY batch")
        .collectAsList());
    Row mean = SPARK.sql("SELECT vbn_moments(features).examples FROM examples").head();
    assertEquals(100, mean.getLong(0));
  }

  @Test
  void inTypedCode() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    MomentsAggregator aggregator = MomentsAggregator.of(data.schema(), "features");
    List<Tuple2<Integer, Row>> perBatch = data.groupByKey(
            (MapFunction<Row, Integer>) row -> row.getInt(2), Encoders.INT())
        .agg(aggregator.toColumn())
        .collectAsList();
    assertEquals(3, perBatch.size());
    for (Tuple2<Integer, Row> each : perBatch) {
      assertEquals(expected(each._1()), MomentsAggregator.moments(each._2()));
    }
    Row all = data.select(aggregator.toColumn()).head();
    assertArrayEquals(
        Formula.mean(List.of(EXAMPLES)), MomentsAggregator.moments(all).mean());
    assertEquals(SparkMoments.of(data, "features"), MomentsAggregator.moments(all));
  }

  @Test
  void ofNoExampleIsNull() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES).filter("id > 1000");
    UserDefinedFunction moments =
        MomentsAggregator.of(data.schema(), "features").function();
    Row row = data.agg(moments.apply(functions.col("features"))).head().getStruct(0);
    assertTrue(row.isNullAt(0) && row.isNullAt(1), row.toString());
    assertEquals(0, row.getLong(2));
    assertThrows(IllegalArgumentException.class, () -> MomentsAggregator.moments(row));
  }

  @Test
  void withLengths() {
    Dataset<Row> data = SPARK.sql("SELECT array(array(1D, 10D), array(3D, 30D)) AS x, 2 AS n"
        + " UNION ALL SELECT array(array(5D, 50D), array(double('NaN'), 0D)), 1"
        + " UNION ALL SELECT array(array(9D, 9D)), 0");
    ReferenceMoments expected =
        ReferenceMoments.of(new double[] {3, 30}, new double[] {8 / 3.0, 800 / 3.0}, 2, 3);
    Row row = data.agg(MomentsAggregator.of(data.schema(), "x", "n")
            .function()
            .apply(functions.col("x"), functions.col("n")))
        .head();
    assertEquals(expected, MomentsAggregator.moments(row.getStruct(0)));
    assertEquals(expected, SparkMoments.of(data, "x", "n"));
  }

  /** Each file is a batch of the stream. */
  @Test
  void onStreams() throws IOException, StreamingQueryException, TimeoutException {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    String input = directory.resolve("input").toString();
    data.repartition(4).write().parquet(input);
    Dataset<Row> stream =
        SPARK.readStream().schema(data.schema()).option("maxFilesPerTrigger", 1).parquet(input);
    UserDefinedFunction moments =
        MomentsAggregator.of(data.schema(), "features").function();
    StreamingQuery query = stream
        .groupBy("batch")
        .agg(moments.apply(functions.col("features")).as("moments"))
        .writeStream()
        .format("memory")
        .queryName("moments")
        .outputMode("complete")
        .option("checkpointLocation", directory.resolve("checkpoint").toString())
        .trigger(Trigger.AvailableNow())
        .start();
    query.awaitTermination();
    assertTrue(query.lastProgress().batchId() >= 3, query.lastProgress()::json);
    assertExpected(SPARK.table("moments").collectAsList());

    StreamingQuery scoring = new VirtualBatchNormalizer()
        .setOutputCol("normalized")
        .fit(data)
        .transform(stream)
        .writeStream()
        .format("memory")
        .queryName("scored")
        .option("checkpointLocation", directory.resolve("scoring").toString())
        .trigger(Trigger.AvailableNow())
        .start();
    scoring.awaitTermination();
    assertEquals(100, SPARK.table("scored").count());
  }
}
