package dev.vbn.spark;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.state.LayerState;
import dev.vbn.state.Safetensors;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.spark.ml.Model;
import org.apache.spark.ml.attribute.AttributeGroup;
import org.apache.spark.ml.param.DoubleParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWriter;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.ml.util.MLWritable;
import org.apache.spark.ml.util.MLWriter;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.StructType;

/**
 * Normalises examples by the statistics of the reference batch to which a {@link
 * VirtualBatchNormalizer} was fitted.
 *
 * <p>Under {@code reference-only} and {@code per-example} a row's output depends on no other row.
 * Under {@code live-batch}, {@code batch} and {@code pooled} it depends on those with which it shares
 * the value of {@link #batchCol}, and has the same bits however these are partitioned or ordered;
 * the data set is read twice.
 *
 * <p>A saved model is MLlib's metadata and {@code layer.safetensors}, the state of a layer, which
 * {@code LayerState.load} and VBN's command line read.
 */
public final class VirtualBatchNormalizerModel extends Model<VirtualBatchNormalizerModel>
    implements MLWritable {
  private static final long serialVersionUID = 1L;

  /** Name of the layer's state among the files of a saved model. */
  public static final String STATE_FILE = "layer.safetensors";

  private final String uid;
  private final ReferenceMoments moments;
  private final int featureAxis;
  private final NormalizerParams params;

  /** @param featureAxis where batches of such examples have their features, outside of Spark */
  VirtualBatchNormalizerModel(String uid, ReferenceMoments moments, int featureAxis) {
    this.uid = uid;
    this.moments = moments;
    this.featureAxis = featureAxis;
    params = new NormalizerParams(this);
  }

  @Override
  public String uid() {
    return uid;
  }

  /** The statistics of the reference batch. */
  public ReferenceMoments moments() {
    return moments;
  }

  /** Column of examples; default {@code features}. */
  public Param<String> inputCol() {
    return params.inputCol;
  }

  /** Sets {@link #inputCol}. */
  public VirtualBatchNormalizerModel setInputCol(String value) {
    set(params.inputCol, value);
    return this;
  }

  /**
   * Column of normalised examples, of the type of {@link #inputCol}; default {@code UID__output}.
   */
  public Param<String> outputCol() {
    return params.outputCol;
  }

  /** Sets {@link #outputCol}. */
  public VirtualBatchNormalizerModel setOutputCol(String value) {
    set(params.outputCol, value);
    return this;
  }

  /**
   * Column of lengths, int or bigint: how many positions of a sequence count. The others have no
   * effect, and come out as 0. None by default: all count.
   */
  public Param<String> maskCol() {
    return params.maskCol;
  }

  /** Sets {@link #maskCol}. */
  public VirtualBatchNormalizerModel setMaskCol(String value) {
    set(params.maskCol, value);
    return this;
  }

  /**
   * Column whose equal values share a live batch. {@code live-batch}, {@code batch} and {@code
   * pooled} need it; none by default.
   */
  public Param<String> batchCol() {
    return params.batchCol;
  }

  /** Sets {@link #batchCol}. */
  public VirtualBatchNormalizerModel setBatchCol(String value) {
    set(params.batchCol, value);
    return this;
  }

  /**
   * Which live statistics are mixed in, as the command line names it. By default none are: {@code
   * reference-only}.
   */
  public Param<String> variant() {
    return params.variant;
  }

  /** Sets {@link #variant}. */
  public VirtualBatchNormalizerModel setVariant(String value) {
    set(params.variant, value);
    return this;
  }

  /** Added to the variance inside the root; finite and above 0, default 1e-5. */
  public DoubleParam epsilon() {
    return params.epsilon;
  }

  /** Sets {@link #epsilon}. */
  public VirtualBatchNormalizerModel setEpsilon(double value) {
    set(params.epsilon, value);
    return this;
  }

  /**
   * {@code exact}, the default: the same bits however the data are partitioned. Or {@code fast}: by
   * the backend, chunk by chunk, merged in the order of the partitions.
   */
  public Param<String> summation() {
    return params.summation;
  }

  /**
   * Name of the backend that executors open, default {@code reference}. It is never chosen by what
   * is there: on mixed hardware that would give mixed bits.
   */
  public Param<String> backend() {
    return params.backend;
  }

  /** Sets {@link #backend}. */
  public VirtualBatchNormalizerModel setBackend(String value) {
    set(params.backend, value);
    return this;
  }

  /**
   * The layer, for other backends: for batches of shape {@code [examples, features]}, or {@code
   * [examples, positions, features]} if the model was fitted to sequences.
   */
  public LayerState state() {
    return new LayerState(config(), null, null, moments);
  }

  private VbnConfig config() {
    return VbnConfig.of(moments.features())
        .withVariant(Variant.of(getOrDefault(params.variant)))
        .withEpsilon((Double) getOrDefault(params.epsilon))
        .withFeatureAxis(featureAxis);
  }

  @Override
  public Dataset<Row> transform(Dataset<?> data) {
    StructType schema = data.schema();
    transformSchema(schema);
    String lengths = NormalizerParams.orNull(this, params.maskCol);
    Examples examples = Examples.of(schema, getOrDefault(params.inputCol), lengths);
    Scorer scorer =
        new Scorer(examples, moments, config().withFeatureAxis(-1), getOrDefault(params.backend));
    Column input = SparkMoments.column(examples.column());
    Column length = lengths == null ? functions.lit(null) : SparkMoments.column(lengths);
    Dataset<Row> rows = data.toDF();
    if (!NormalizerParams.mixesLiveBatch(config().variant())) {
      return rows.withColumn(
          getOrDefault(params.outputCol),
          normalized(scorer, examples, input, length, functions.lit(null)));
    }
    String key = uid + "__batch";
    String live = uid + "__live";
    Column batch =
        SparkMoments.column(requireNonNull(NormalizerParams.orNull(this, params.batchCol)));
    Column moment = MomentsAggregator.create(schema, examples.column(), lengths)
        .function()
        .apply(lengths == null ? new Column[] {input} : new Column[] {input, length});
    Dataset<Row> batches = rows.groupBy(batch.as(key)).agg(moment.as(live));
    // As in groupBy, null is a value like others.
    return rows.join(batches, batch.eqNullSafe(SparkMoments.column(key)))
        .withColumn(
            getOrDefault(params.outputCol),
            normalized(scorer, examples, input, length, SparkMoments.column(live)))
        .drop(key, live);
  }

  private Column normalized(
      Scorer scorer, Examples examples, Column input, Column length, Column live) {
    Column output = functions.udf(scorer, examples.type()).apply(input, length, live);
    String name = getOrDefault(params.outputCol);
    return examples.areVectors()
        ? output.as(name, new AttributeGroup(name, moments.features()).toMetadata())
        : output;
  }

  @Override
  public StructType transformSchema(StructType schema) {
    return params.transformSchema(this, schema);
  }

  @Override
  public VirtualBatchNormalizerModel copy(ParamMap extra) {
    return copyValues(new VirtualBatchNormalizerModel(uid, moments, featureAxis), extra)
        .setParent(parent());
  }

  @Override
  public MLWriter write() {
    return new Writer(this);
  }

  private static final class Writer extends MLWriter {
    private final VirtualBatchNormalizerModel model;

    Writer(VirtualBatchNormalizerModel model) {
      this.model = model;
    }

    @Override
    public void saveImpl(String path) {
      DefaultParamsWriter.saveMetadata(model, path, sparkSession());
      Configuration hadoop = sparkSession().sparkContext().hadoopConfiguration();
      Path file = new Path(path, STATE_FILE);
      try (OutputStream out = file.getFileSystem(hadoop).create(file)) {
        Safetensors.write(out, model.state().content());
      } catch (IOException e) {
        throw new UncheckedIOException(file + ": cannot be written", e);
      }
    }
  }

  /** Reads what {@code write().save(path)} has written. */
  public static MLReader<VirtualBatchNormalizerModel> read() {
    return new Reader();
  }

  private static final class Reader extends MLReader<VirtualBatchNormalizerModel> {
    @Override
    public VirtualBatchNormalizerModel load(String path) {
      DefaultParamsReader.Metadata metadata = DefaultParamsReader.loadMetadata(
          path, sparkSession(), VirtualBatchNormalizerModel.class.getName());
      Configuration hadoop = sparkSession().sparkContext().hadoopConfiguration();
      VirtualBatchNormalizerModel model = load(metadata.uid(), new Path(path, STATE_FILE), hadoop);
      metadata.getAndSetParams(model, metadata.getAndSetParams$default$2());
      return model;
    }

    private static VirtualBatchNormalizerModel load(String uid, Path file, Configuration hadoop) {
      try {
        java.nio.file.Path copy = Files.createTempFile("vbn", ".safetensors");
        try {
          file.getFileSystem(hadoop).copyToLocalFile(false, file, new Path(copy.toUri()), true);
          LayerState state = LayerState.load(copy);
          if (state.reference() == null) {
            throw new IOException("no reference_mean; expected the statistics of a model");
          }
          return new VirtualBatchNormalizerModel(
              uid, state.reference(), state.config().featureAxis());
        } finally {
          Files.delete(copy);
        }
      } catch (IOException e) {
        throw new UncheckedIOException(file + ": cannot be read", e);
      }
    }
  }

  /** Reads what {@code save(path)} has written. */
  public static VirtualBatchNormalizerModel load(String path) {
    return read().load(path);
  }
}
