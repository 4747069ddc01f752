package dev.vbn.spark;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import org.apache.spark.ml.Estimator;
import org.apache.spark.ml.param.DoubleParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWritable;
import org.apache.spark.ml.util.Identifiable$;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.types.StructType;

/**
 * Takes the statistics of a reference batch from a data set of any size, as an estimator of MLlib.
 * Its {@link VirtualBatchNormalizerModel model} normalises by them.
 *
 * <pre>{@code
 * VirtualBatchNormalizerModel model = new VirtualBatchNormalizer()
 *     .setInputCol("features")
 *     .setOutputCol("normalized")
 *     .fit(reference);
 * Dataset<Row> normalized = model.transform(data);
 * }</pre>
 *
 * <p>Examples are vectors, arrays of float or double, or sequences: arrays of those, each position
 * with an element of each feature. The statistics have the same bits however the data set is
 * partitioned or ordered, unless {@code summation} is {@code fast}.
 */
public final class VirtualBatchNormalizer extends Estimator<VirtualBatchNormalizerModel>
    implements DefaultParamsWritable {
  private static final long serialVersionUID = 1L;

  // Assigned before any parameter, which asks its parent for it
  private final String uid;
  private final NormalizerParams params;

  /** With a name of its own. */
  public VirtualBatchNormalizer() {
    this(Identifiable$.MODULE$.randomUID("vbn"));
  }

  /** @param uid name of this stage in a pipeline */
  public VirtualBatchNormalizer(String uid) {
    this.uid = uid;
    params = new NormalizerParams(this);
    setDefault(params.inputCol, "features");
    setDefault(params.outputCol, uid + "__output");
    setDefault(params.variant, Variant.REFERENCE_ONLY.label());
    setDefault(params.epsilon, VbnConfig.DEFAULT_EPSILON);
    setDefault(params.summation, NormalizerParams.EXACT);
    setDefault(params.backend, "reference");
  }

  @Override
  public String uid() {
    return uid;
  }

  /** Column of examples; default {@code features}. */
  public Param<String> inputCol() {
    return params.inputCol;
  }

  /** Sets {@link #inputCol}. */
  public VirtualBatchNormalizer setInputCol(String value) {
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
  public VirtualBatchNormalizer setOutputCol(String value) {
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
  public VirtualBatchNormalizer setMaskCol(String value) {
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
  public VirtualBatchNormalizer setBatchCol(String value) {
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
  public VirtualBatchNormalizer setVariant(String value) {
    set(params.variant, value);
    return this;
  }

  /** Added to the variance inside the root; finite and above 0, default 1e-5. */
  public DoubleParam epsilon() {
    return params.epsilon;
  }

  /** Sets {@link #epsilon}. */
  public VirtualBatchNormalizer setEpsilon(double value) {
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

  /** Sets {@link #summation}. */
  public VirtualBatchNormalizer setSummation(String value) {
    set(params.summation, value);
    return this;
  }

  /**
   * Name of the backend that executors open, default {@code reference}. It is never chosen by what
   * is there: on mixed hardware that would give mixed bits.
   */
  public Param<String> backend() {
    return params.backend;
  }

  /** Sets {@link #backend}. */
  public VirtualBatchNormalizer setBackend(String value) {
    set(params.backend, value);
    return this;
  }

  /**
   * Takes the statistics of all examples. What is wrong with an example, such as null, a different
   * number of features or a length out of range, is the cause of a {@code SparkException}.
   *
   * @throws IllegalArgumentException if a column is not there or of another type, the variant needs
   *     one that is not set, or there are no examples, or they hold NaN or infinity
   */
  @Override
  public VirtualBatchNormalizerModel fit(Dataset<?> data) {
    transformSchema(data.schema());
    String lengths = NormalizerParams.orNull(this, params.maskCol);
    Examples examples = Examples.of(data.schema(), getOrDefault(params.inputCol), lengths);
    ReferenceMoments moments = getOrDefault(params.summation).equals(NormalizerParams.EXACT)
        ? SparkMoments.exact(data, examples, lengths)
        : SparkMoments.fast(data, examples, lengths, getOrDefault(params.backend));
    VirtualBatchNormalizerModel model = new VirtualBatchNormalizerModel(
        uid, moments, examples.areSequences() ? -1 : VbnConfig.of(1).featureAxis());
    return copyValues(model, ParamMap.empty()).setParent(this);
  }

  @Override
  public StructType transformSchema(StructType schema) {
    return params.transformSchema(this, schema);
  }

  @Override
  public VirtualBatchNormalizer copy(ParamMap extra) {
    return defaultCopy(extra);
  }

  /** Reads what {@code write().save(path)} has written. */
  public static MLReader<VirtualBatchNormalizer> read() {
    return new DefaultParamsReader<>();
  }

  /** Reads what {@code save(path)} has written. */
  public static VirtualBatchNormalizer load(String path) {
    return read().load(path);
  }
}
