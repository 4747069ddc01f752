package dev.vbn.spark;

import dev.vbn.ReferenceMoments;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.ml.feature.StandardScaler;
import org.apache.spark.ml.feature.StandardScalerModel;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;

/**
 * The statistics of one data set in several partitionings and orders, as bits: the table of
 * docs/SPARK.md.
 */
final class EqualityTable {
  static final int[] PARTITIONS = {1, 2, 7, 64};

  private EqualityTable() {}

  public static void main(String[] arguments) {
    Dataset<Row> data = LocalSpark.vectors(LocalSpark.examples(20_000, 16));
    System.out.println("| Partitions | Order | exact | fast | StandardScaler |");
    System.out.println("|---|---|---|---|---|");
    arrangements(data)
        .forEach((name, arranged) -> System.out.println("| " + name + " | `"
            + bits(fit(arranged, "exact")) + "` | `" + bits(fit(arranged, "fast")) + "` | `"
            + standardScaler(arranged) + "` |"));
    LocalSpark.session().stop();
  }

  /** The rows in four partitionings, each as they are, sorted and shuffled. */
  static Map<String, Dataset<Row>> arrangements(Dataset<Row> data) {
    Map<String, Dataset<Row>> arrangements = new LinkedHashMap<>();
    for (int partitions : PARTITIONS) {
      arrangements.put(partitions + " | as it is", data.repartition(partitions));
      arrangements.put(
          partitions + " | by range, backwards",
          data.repartitionByRange(partitions, functions.col("id").desc()));
      for (int seed = 1; seed <= 2; seed++) {
        arrangements.put(
            partitions + " | shuffle " + seed,
            data.orderBy(functions.xxhash64(functions.col("id"), functions.lit(seed)))
                .coalesce(1)
                .repartition(partitions));
      }
    }
    return arrangements;
  }

  static ReferenceMoments fit(Dataset<Row> data, String summation) {
    return new VirtualBatchNormalizer().setSummation(summation).fit(data).moments();
  }

  private static String bits(ReferenceMoments moments) {
    return bits(moments.mean(), moments.variance());
  }

  private static String standardScaler(Dataset<Row> data) {
    StandardScalerModel model = new StandardScaler().setInputCol("features").fit(data);
    return bits(model.mean().toArray(), model.std().toArray());
  }

  private static String bits(double[] mean, double[] second) {
    return String.format("%08x %08x", Arrays.hashCode(mean), Arrays.hashCode(second));
  }

  /** The examples of a data set as an RDD of arrays. */
  static JavaRDD<double[]> rdd(Dataset<Row> data) {
    return data.select("features").toJavaRDD().map(row -> row.<Vector>getAs(0).toArray());
  }

  static List<ReferenceMoments> each(Map<String, Dataset<Row>> arrangements, String summation) {
    List<ReferenceMoments> all = new ArrayList<>();
    arrangements.values().forEach(data -> all.add(fit(data, summation)));
    return all;
  }
}
