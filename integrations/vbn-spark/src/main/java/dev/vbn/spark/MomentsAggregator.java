package dev.vbn.spark;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.tensor.HostTensor;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.Encoder;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.expressions.Aggregator;
import org.apache.spark.sql.expressions.UserDefinedFunction;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;

/**
 * Reference statistics as an aggregate function: of a column, per key, in SQL and on streams, with
 * the same bits however the rows are partitioned.
 *
 * <pre>{@code
 * UserDefinedFunction moments = MomentsAggregator.of(data.schema(), "features").function();
 * Dataset<Row> perSpeaker = data.groupBy("speaker").agg(moments.apply(col("features")));
 *
 * spark.udf().register("vbn_moments", moments);
 * spark.sql("SELECT speaker, vbn_moments(features) FROM data GROUP BY speaker");
 * }</pre>
 *
 * <p>The result is a struct of the vectors {@code mean} and {@code variance} (biased), and of {@code
 * examples} and {@code elements}, their counts; {@link #moments} reads it. Where no example counts,
 * the vectors are null. NaN and infinity affect it as they do {@link dev.vbn.ExactMoments#result}.
 */
public final class MomentsAggregator extends Aggregator<Row, MomentsSum, Row> {
  private static final long serialVersionUID = 1L;

  private static final StructType RESULT = new StructType()
      .add("mean", SQLDataTypes.VectorType(), true)
      .add("variance", SQLDataTypes.VectorType(), true)
      .add("examples", DataTypes.LongType, false)
      .add("elements", DataTypes.LongType, false);

  private final Examples examples;
  private final StructType input;

  private MomentsAggregator(Examples examples, StructType input) {
    this.examples = examples;
    this.input = input;
  }

  /**
   * Statistics of a column of vectors, of arrays of float or double, or of sequences, which are
   * arrays of those: each position has an element of each feature.
   *
   * @throws IllegalArgumentException if the column is not there or of another type
   */
  public static MomentsAggregator of(StructType schema, String column) {
    return create(schema, column, null);
  }

  /**
   * Statistics of a column of sequences of which the first positions count.
   *
   * @param lengths column of int or bigint: how many positions count; null if all do
   * @throws IllegalArgumentException if a column is not there or of another type
   */
  public static MomentsAggregator of(StructType schema, String column, String lengths) {
    return create(
        schema, column, requireNonNull(lengths, "lengths is null; expected a column of them"));
  }

  static MomentsAggregator create(StructType schema, String column, @Nullable String lengths) {
    Examples examples = Examples.of(schema, column, lengths);
    StructType input = new StructType().add(Examples.field(schema, column));
    return new MomentsAggregator(
        examples, lengths == null ? input : input.add(Examples.field(schema, lengths)));
  }

  /**
   * This as a function of the column, and of the column of lengths where there is one, for {@code
   * agg} and for SQL.
   */
  public UserDefinedFunction function() {
    return functions.udaf(this, Encoders.row(input));
  }

  /**
   * Reads a result.
   *
   * @throws IllegalArgumentException if it is of no examples
   */
  public static ReferenceMoments moments(Row result) {
    Vector mean = result.getAs("mean");
    Vector variance = result.getAs("variance");
    if (mean == null || variance == null) {
      throw new IllegalArgumentException(
          "moments are of no example; expected those of a reference batch");
    }
    return ReferenceMoments.of(
        mean.toArray(),
        variance.toArray(),
        result.<Long>getAs("examples"),
        result.<Long>getAs("elements"));
  }

  @Override
  public MomentsSum zero() {
    return new MomentsSum("column '" + examples.column() + "'");
  }

  /** @param row with the columns by their names */
  @Override
  public MomentsSum reduce(MomentsSum sum, Row row) {
    Object length = input.length() > 1 ? row.getAs(input.fields()[1].name()) : null;
    HostTensor example = examples.read(row.getAs(examples.column()), length);
    return example == null ? sum : sum.add(example);
  }

  @Override
  public MomentsSum merge(MomentsSum sum, MomentsSum other) {
    return sum.merge(other);
  }

  @Override
  public Row finish(MomentsSum sum) {
    ReferenceMoments moments = sum.result();
    return moments == null
        ? RowFactory.create(null, null, 0L, 0L)
        : RowFactory.create(
            Vectors.dense(moments.mean()),
            Vectors.dense(moments.variance()),
            moments.examples(),
            moments.elements());
  }

  @Override
  public Encoder<MomentsSum> bufferEncoder() {
    return Encoders.javaSerialization(MomentsSum.class);
  }

  @Override
  public Encoder<Row> outputEncoder() {
    return Encoders.row(RESULT);
  }
}
