package dev.vbn.spark;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.tensor.HostTensor;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.jspecify.annotations.Nullable;

/**
 * Reference statistics of data sets and RDDs, with the same bits however they are partitioned or
 * ordered, and whichever tasks are run again. {@link MomentsAggregator} gives them per key.
 */
public final class SparkMoments {
  private SparkMoments() {}

  /**
   * The statistics of a column.
   *
   * @param column of vectors, of arrays of float or double, or of sequences, which are arrays of
   *     those: each position has an element of each feature
   * @throws IllegalArgumentException if the column is not there or of another type, or there are no
   *     examples, or they hold NaN or infinity
   */
  public static ReferenceMoments of(Dataset<?> data, String column) {
    return exact(data, Examples.of(data.schema(), column, null), null);
  }

  /**
   * The statistics of a column of sequences of which the first positions count.
   *
   * @param lengths column of int or bigint: how many positions count; null if all do
   * @throws IllegalArgumentException likewise
   */
  public static ReferenceMoments of(Dataset<?> data, String column, String lengths) {
    requireNonNull(lengths, "lengths is null; expected a column of them");
    return exact(data, Examples.of(data.schema(), column, lengths), lengths);
  }

  /**
   * The statistics of examples that have one element of each feature.
   *
   * @throws IllegalArgumentException if there are no examples, or they differ in length, or hold
   *     NaN or infinity
   */
  public static ReferenceMoments ofFloats(JavaRDD<float[]> examples) {
    return examples
        .treeAggregate(new MomentsSum("RDD"), MomentsSum::add, MomentsSum::merge)
        .finiteResult();
  }

  /**
   * The statistics of examples that have one element of each feature.
   *
   * @throws IllegalArgumentException as in {@link #ofFloats}
   */
  public static ReferenceMoments ofDoubles(JavaRDD<double[]> examples) {
    return examples
        .treeAggregate(new MomentsSum("RDD"), MomentsSum::add, MomentsSum::merge)
        .finiteResult();
  }

  static ReferenceMoments exact(Dataset<?> data, Examples examples, @Nullable String lengths) {
    return columns(data, examples, lengths)
        .treeAggregate(
            new MomentsSum(source(examples)),
            (sum, row) -> {
              HostTensor example = read(examples, row);
              return example == null ? sum : sum.add(example);
            },
            MomentsSum::merge)
        .finiteResult();
  }

  /**
   * Statistics of chunks by a backend. Each partition's are merged in its order, and then those of
   * the partitions in theirs, so that a rerun, but not another partitioning, has the same bits.
   */
  static ReferenceMoments fast(
      Dataset<?> data, Examples examples, @Nullable String lengths, String backend) {
    List<ReferenceMoments> parts = columns(data, examples, lengths)
        .mapPartitions(rows -> chunked(examples, rows, backend))
        .collect();
    ReferenceMoments total = parts.stream()
        .reduce(ReferenceMoments::merge)
        .orElseThrow(() -> MomentsSum.noExample(source(examples)));
    double[] variance = total.variance();
    for (int i = 0; i < variance.length; i++) {
      if (!Double.isFinite(variance[i])) {
        throw new IllegalArgumentException(source(examples) + " has NaN or infinity in feature " + i
            + ", or numbers whose squares overflow; expected a finite variance");
      }
    }
    return total;
  }

  private static Iterator<ReferenceMoments> chunked(
      Examples examples, Iterator<Row> rows, String backend) {
    if (!rows.hasNext()) {
      return Collections.emptyIterator();
    }
    ChunkedSum sum = new ChunkedSum(source(examples), ExecutorBackend.open(backend));
    while (rows.hasNext()) {
      HostTensor example = read(examples, rows.next());
      if (example != null) {
        sum.add(example);
      }
    }
    ReferenceMoments moments = sum.result();
    return moments == null ? Collections.emptyIterator() : List.of(moments).iterator();
  }

  private static @Nullable HostTensor read(Examples examples, Row row) {
    return examples.read(row.get(0), row.size() > 1 ? row.get(1) : null);
  }

  private static JavaRDD<Row> columns(
      Dataset<?> data, Examples examples, @Nullable String lengths) {
    Column column = column(examples.column());
    return (lengths == null ? data.select(column) : data.select(column, column(lengths)))
        .toJavaRDD();
  }

  /** The column of that name, whatever is in the name. */
  static Column column(String name) {
    return functions.col('`' + name.replace("`", "``") + '`');
  }

  private static String source(Examples examples) {
    return "column '" + examples.column() + "'";
  }
}
