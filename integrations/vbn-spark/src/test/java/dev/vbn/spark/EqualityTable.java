package dev.vbn.spark;

import dev.vbn.ReferenceMoments;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.ml.feature.StandardScaler;
import org.apache.spark.ml.feature.StandardScalerModel;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;

/**
 * The statistics of one data set in several partitionings and orders, as bits: the table of
 * docs/SPARK.md.
 */
final class EqualityTable {
  static final int[] PARTITIONS = {1, 2, 7, 64};

  private EqualityTable() {}

  public static void main(String[] arguments) throws IOException {
    // Which LocalSpark takes: its own has Kryo, which needs options of the JVM.
    try (SparkSession spark = SparkSession.builder()
        .master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .getOrCreate()) {
      System.out.println("Spark " + spark.version());
      System.out.println("| Partitions | Order | exact | fast | StandardScaler |");
      System.out.println("|---|---|---|---|---|");
      arrangements(LocalSpark.vectors(LocalSpark.examples(20_000, 16)))
          .forEach((name, arranged) -> System.out.println("| " + name + " | `"
              + bits(fit(arranged, "exact")) + "` | `" + bits(fit(arranged, "fast")) + "` | `"
              + standardScaler(arranged) + "` |"));
    }
  }

  /** The rows in four partitionings, each as they are, backwards and shuffled. */
  static Map<String, Dataset<Row>> arrangements(Dataset<Row> data) {
    Map<String, Dataset<Row>> arrangements = new LinkedHashMap<>();
    Column id = functions.col("id");
    for (int partitions : PARTITIONS) {
      arrangements.put(partitions + " | as it is", data.repartition(partitions));
      arrangements.put(
          partitions + " | backwards",
          data.repartitionByRange(partitions, id.desc()).sortWithinPartitions(id.desc()));
      for (int seed = 1; seed <= 2; seed++) {
        Column shuffled = functions.xxhash64(id, functions.lit(seed));
        arrangements.put(
            partitions + " | shuffle " + seed,
            data.repartition(partitions, shuffled).sortWithinPartitions(shuffled));
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
}
