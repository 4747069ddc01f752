package dev.vbn.spark;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.serializer.KryoSerializer;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/** One session for all tests, for each takes seconds to start. It writes data with Kryo. */
final class LocalSpark {
  private static final SparkSession SESSION = SparkSession.builder()
      .master("local[2]")
      .appName("vbn tests")
      .config("spark.ui.enabled", "false")
      .config("spark.sql.shuffle.partitions", "3")
      .config("spark.serializer", KryoSerializer.class.getName())
      .config("spark.sql.warehouse.dir", "target/warehouse")
      .getOrCreate();

  private LocalSpark() {}

  static SparkSession session() {
    return SESSION;
  }

  /** Numbers around means of 0, 1000 and so on, with deviations of 1, 2 and so on. */
  static double[][] examples(int rows, int features) {
    SplittableRandom random = new SplittableRandom(20);
    double[][] examples = new double[rows][features];
    for (double[] example : examples) {
      for (int i = 0; i < features; i++) {
        example[i] = 1000 * i + (1 + i) * random.nextGaussian();
      }
    }
    return examples;
  }

  /** Columns id, features (vectors) and batch, which is id % 3. */
  static Dataset<Row> vectors(double[][] examples) {
    List<Row> rows = new ArrayList<>();
    for (int i = 0; i < examples.length; i++) {
      rows.add(RowFactory.create(i, Vectors.dense(examples[i]), i % 3));
    }
    return SESSION.createDataFrame(
        rows,
        new StructType()
            .add("id", DataTypes.IntegerType, false)
            .add("features", SQLDataTypes.VectorType(), false)
            .add("batch", DataTypes.IntegerType, false));
  }
}
