package dev.vbn.spark;

import static org.apache.spark.sql.functions.col;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.expressions.UserDefinedFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The code of docs/SPARK.md runs here. */
class SparkPageTest {
  private static final double[][] EXAMPLES = LocalSpark.examples(30, 2);

  @TempDir
  Path directory;

  @Test
  void fitTransformSaveAndServe() throws IOException {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    String path = directory.resolve("model").toString();
    Dataset<Row> normalized = fitTransformSave(data.filter("id < 20"), data, path);
    double[] expected =
        normalized.filter("id = 25").head().<Vector>getAs("normalized").toArray();
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class)) {
      HostTensor x = HostTensor.of(EXAMPLES[25], 1, 2);
      assertArrayEquals(expected, serve(backend, path, x).doubles());
    }
  }

  private static Dataset<Row> fitTransformSave(
      Dataset<Row> reference, Dataset<Row> data, String path) throws IOException {
    VirtualBatchNormalizerModel model = new VirtualBatchNormalizer()
        .setInputCol("features")
        .setOutputCol("normalized")
        .fit(reference);
    Dataset<Row> normalized = model.transform(data);
    model.write().overwrite().save(path);
    return normalized;
  }

  private static <T> T serve(VbnBackend<T> backend, String path, T x) throws IOException {
    LayerState state = LayerState.load(Path.of(path, "layer.safetensors"));
    try (VirtualBatchNorm<T> layer = state.layer(backend);
        ReferenceStatistics<T> statistics = state.statistics(backend);
        Output<T> output = layer.forward(x, statistics)) {
      return output.takeOutput();
    }
  }

  @Test
  void statisticsPerKey() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    for (Row row : perKey(data).collectAsList()) {
      List<double[]> examples = List.of(EXAMPLES).stream()
          .filter(each -> batchOf(each) == row.getInt(0))
          .toList();
      assertArrayEquals(
          Formula.mean(examples), MomentsAggregator.moments(row.getStruct(1)).mean());
    }
    assertEquals(30, inSql(data).head().<Row>getAs(1).<Long>getAs("examples") * 3);
    assertArrayEquals(Formula.mean(List.of(EXAMPLES)), moments(data).mean());
  }

  private static int batchOf(double[] example) {
    return List.of(EXAMPLES).indexOf(example) % 3;
  }

  private static Dataset<Row> perKey(Dataset<Row> data) {
    UserDefinedFunction moments =
        MomentsAggregator.of(data.schema(), "features").function();
    return data.groupBy("batch").agg(moments.apply(col("features")).as("reference"));
  }

  private static Dataset<Row> inSql(Dataset<Row> data) {
    UserDefinedFunction moments =
        MomentsAggregator.of(data.schema(), "features").function();
    data.createOrReplaceTempView("data");
    data.sparkSession().udf().register("vbn_moments", moments);
    return data.sparkSession().sql("SELECT batch, vbn_moments(features) FROM data GROUP BY batch");
  }

  private static ReferenceMoments moments(Dataset<Row> data) {
    return SparkMoments.of(data, "features");
  }
}
