package dev.vbn.spark;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import org.apache.spark.api.java.function.MapFunction;
import org.apache.spark.ml.feature.StandardScaler;
import org.apache.spark.ml.feature.StandardScalerModel;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructType;

/**
 * Fit and transform next to MLlib's StandardScaler on the same rows in the same JVM, in turn: the
 * table of docs/SPARK.md. Arguments: rounds (default 15), master (default local[1]).
 */
final class SpeedTable {
  private static final int WARM_UP = 4;
  private static final long ELEMENTS = 12_800_000;

  private SpeedTable() {}

  public static void main(String[] arguments) throws IOException {
    int rounds = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 15;
    String master = arguments.length > 1 ? arguments[1] : "local[1]";
    try (SparkSession spark = SparkSession.builder()
        .master(master)
        .appName("vbn speed")
        .config("spark.ui.enabled", "false")
        .getOrCreate()) {
      System.out.println("Spark " + spark.version() + ", Java " + Runtime.version() + ", " + master
          + ", " + rounds + " rounds");
      System.out.println("| Features | Rows | Pass | StandardScaler, ms | VBN, ms | VBN /"
          + " StandardScaler, quartiles | million numbers a second |");
      System.out.println("|---|---|---|---|---|---|---|");
      for (int features : new int[] {64, 1024}) {
        measure(spark, features, rounds);
      }
    }
  }

  private static void measure(SparkSession spark, int features, int rounds) {
    long rows = ELEMENTS / features;
    Dataset<Row> data = data(spark, rows, features).cache();
    data.count();
    StandardScaler scaler =
        new StandardScaler().setInputCol("features").setOutputCol("scaled").setWithMean(true);
    VirtualBatchNormalizer exact = new VirtualBatchNormalizer().setOutputCol("normalized");
    VirtualBatchNormalizer fast =
        new VirtualBatchNormalizer().setOutputCol("normalized").setSummation("fast");
    StandardScalerModel scaled = scaler.fit(data);
    VirtualBatchNormalizerModel model = exact.fit(data);
    Map<String, Runnable> passes = new LinkedHashMap<>();
    passes.put("scan", () -> consume(data, "features"));
    passes.put("StandardScaler fit", () -> scaler.fit(data));
    passes.put("fit, exact", () -> exact.fit(data));
    passes.put("fit, fast", () -> fast.fit(data));
    passes.put("StandardScaler transform", () -> consume(scaled.transform(data), "scaled"));
    passes.put("transform", () -> consume(model.transform(data), "normalized"));
    Map<String, List<Double>> times = new LinkedHashMap<>();
    for (int round = 0; round < WARM_UP + rounds; round++) {
      for (Map.Entry<String, Runnable> pass : passes.entrySet()) {
        long start = System.nanoTime();
        pass.getValue().run();
        double time = (System.nanoTime() - start) / 1e6;
        if (round >= WARM_UP) {
          times.computeIfAbsent(pass.getKey(), name -> new ArrayList<>()).add(time);
        }
      }
    }
    System.out.printf(
        Locale.ROOT, "| %d | %d | scan | | %.0f | | |%n", features, rows, at(times.get("scan"), 2));
    for (String pass : List.of("fit, exact", "fit, fast", "transform")) {
      List<Double> theirs = times.get("StandardScaler " + pass.split(",", 2)[0]);
      List<Double> ours = times.get(pass);
      List<Double> ratios = new ArrayList<>();
      for (int i = 0; i < rounds; i++) {
        ratios.add(ours.get(i) / theirs.get(i));
      }
      System.out.printf(
          Locale.ROOT,
          "| %d | %d | %s | %.0f | %.0f | %.2f, %.2f to %.2f | %.0f |%n",
          features,
          rows,
          pass,
          at(theirs, 2),
          at(ours, 2),
          at(ratios, 2),
          at(ratios, 1),
          at(ratios, 3),
          rows * features / at(ours, 2) / 1e3);
    }
    data.unpersist();
  }

  /** All rows are made, and nothing is written. */
  private static void consume(Dataset<Row> data, String column) {
    data.select(column).write().format("noop").mode("overwrite").save();
  }

  private static double at(List<Double> values, int quartile) {
    return values.stream().sorted().toList().get(values.size() * quartile / 4);
  }

  private static Dataset<Row> data(SparkSession spark, long rows, int features) {
    StructType schema = new StructType().add("features", SQLDataTypes.VectorType());
    return spark
        .range(0, rows, 1, 4)
        .map(
            (MapFunction<Long, Row>) id -> {
              SplittableRandom random = new SplittableRandom(id);
              double[] values = new double[features];
              for (int i = 0; i < features; i++) {
                values[i] = 1000 * (i % 16) + (1 + i % 16) * random.nextGaussian();
              }
              return RowFactory.create(Vectors.dense(values));
            },
            Encoders.row(schema));
  }
}
