package dev.vbn.spark;

import static org.apache.spark.ml.functions.vector_to_array;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.spark.ml.Pipeline;
import org.apache.spark.ml.PipelineModel;
import org.apache.spark.ml.PipelineStage;
import org.apache.spark.ml.evaluation.RegressionEvaluator;
import org.apache.spark.ml.feature.VectorAssembler;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.regression.LinearRegression;
import org.apache.spark.ml.tuning.CrossValidator;
import org.apache.spark.ml.tuning.CrossValidatorModel;
import org.apache.spark.ml.tuning.ParamGridBuilder;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** In MLlib's company: pipelines, cross validation, files. */
class PipelineTest {
  @TempDir
  Path directory;

  private static final double[][] EXAMPLES = LocalSpark.examples(90, 3);

  private static VirtualBatchNormalizer normalizer() {
    return new VirtualBatchNormalizer()
        .setOutputCol("normalized")
        .setVariant("per-example")
        .setEpsilon(0.5)
        .setBatchCol("batch");
  }

  private static List<Row> sorted(Dataset<Row> data) {
    return data.orderBy("id").collectAsList();
  }

  @Test
  void pipelinesAreSavedAndLoaded() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    Pipeline pipeline = new Pipeline().setStages(new PipelineStage[] {
      normalizer(),
      new VectorAssembler()
          .setInputCols(new String[] {"normalized", "features"})
          .setOutputCol("both")
    });
    PipelineModel model = pipeline.fit(data);
    save(() -> model.write().overwrite().save(at("pipeline")));
    PipelineModel loaded = PipelineModel.load(at("pipeline"));
    List<Row> rows = sorted(loaded.transform(data));
    assertEquals(sorted(model.transform(data)), rows);
    assertEquals(6, rows.get(0).<Vector>getAs("both").size());

    save(() -> pipeline.write().overwrite().save(at("unfitted")));
    PipelineStage stage = Pipeline.load(at("unfitted")).getStages()[0];
    VirtualBatchNormalizer normalizer = (VirtualBatchNormalizer) stage;
    assertEquals("per-example", normalizer.getOrDefault(normalizer.variant()));
    assertEquals(0.5, normalizer.getOrDefault(normalizer.epsilon()));
  }

  private interface Saving {
    void run() throws IOException;
  }

  private static void save(Saving saving) {
    try {
      saving.run();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private String at(String name) {
    return directory.resolve(name).toUri().toString();
  }

  @Test
  void modelsAreSavedWithMetadataAndTheStateOfALayer() throws IOException {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    VirtualBatchNormalizerModel model = normalizer().fit(data);
    model.save(at("model"));
    assertThrows(IOException.class, () -> model.save(at("model")), "it is there already");
    VirtualBatchNormalizerModel loaded = VirtualBatchNormalizerModel.load(at("model"));
    assertEquals(model.uid(), loaded.uid());
    assertEquals(model.moments(), loaded.moments());
    assertEquals(model.explainParams(), loaded.explainParams());
    assertEquals(sorted(model.transform(data)), sorted(loaded.transform(data)));
    assertTrue(Files.exists(directory.resolve("model/metadata")));

    LayerState state =
        LayerState.load(directory.resolve("model").resolve(VirtualBatchNormalizerModel.STATE_FILE));
    assertEquals(model.moments(), state.reference());
    assertEquals(Variant.PER_EXAMPLE, state.config().variant());
    assertEquals(0.5, state.config().epsilon());
    List<Row> rows = sorted(model.transform(data));
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> reference = state.statistics(backend);
        Output<HostTensor> output = layer.forward(HostTensor.of(EXAMPLES[7], 1, 3), reference)) {
      assertArrayEquals(
          rows.get(7).<Vector>getAs("normalized").toArray(), output.output().doubles());
    }
  }

  @Test
  void aModelWithoutItsStateIsRefused() throws IOException {
    normalizer().fit(LocalSpark.vectors(EXAMPLES)).save(at("model"));
    Files.delete(directory.resolve("model").resolve(VirtualBatchNormalizerModel.STATE_FILE));
    UncheckedIOException refusal = assertThrows(
        UncheckedIOException.class, () -> VirtualBatchNormalizerModel.load(at("model")));
    assertTrue(
        refusal.getMessage().contains("model/" + VirtualBatchNormalizerModel.STATE_FILE),
        refusal.getMessage());
  }

  /** The worse of two parameters loses. */
  @Test
  void crossValidatorChoosesParameters() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES)
        .withColumn(
            "label", vector_to_array(functions.col("features"), "float64").getItem(0));
    VirtualBatchNormalizer normalizer = normalizer().setVariant("reference-only");
    LinearRegression regression = new LinearRegression()
        .setFeaturesCol("normalized")
        .setRegParam(0.1)
        .setStandardization(false);
    ParamMap[] grid = new ParamGridBuilder()
        .addGrid(normalizer.epsilon(), new double[] {1e6, 1e-5})
        .build();
    CrossValidatorModel model = new CrossValidator()
        .setEstimator(new Pipeline().setStages(new PipelineStage[] {normalizer, regression}))
        .setEvaluator(new RegressionEvaluator())
        .setEstimatorParamMaps(grid)
        .setNumFolds(2)
        .setSeed(3)
        .fit(data);
    assertTrue(model.avgMetrics()[1] < model.avgMetrics()[0]);
    PipelineModel best = (PipelineModel) model.bestModel();
    VirtualBatchNormalizerModel chosen = (VirtualBatchNormalizerModel) best.stages()[0];
    assertEquals(1e-5, chosen.getOrDefault(chosen.epsilon()));
  }
}
