package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.junit.jupiter.api.Test;

/** The same bits for any partitioning and order. */
class EqualityTest {
  private static final double[][] EXAMPLES = LocalSpark.examples(1000, 4);
  private static final ReferenceMoments EXPECTED = ReferenceMoments.of(
      Formula.mean(List.of(EXAMPLES)), Formula.variance(List.of(EXAMPLES)), 1000, 1000);

  @Test
  void exactStatisticsAreTheRoundedOnesInEveryPartitioningAndOrder() {
    Map<String, Dataset<Row>> arrangements =
        EqualityTable.arrangements(LocalSpark.vectors(EXAMPLES));
    assertEquals(16, arrangements.size());
    Set<ReferenceMoments> rounded = new HashSet<>();
    arrangements.forEach((name, data) -> {
      assertEquals(EXPECTED, EqualityTable.fit(data, "exact"), name);
      rounded.add(EqualityTable.fit(data, "fast"));
    });
    assertTrue(rounded.size() > 10, () -> "orders are the same: " + rounded.size());
  }

  @Test
  void rddsGiveTheSameBits() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES);
    for (int partitions : EqualityTable.PARTITIONS) {
      JavaRDD<double[]> doubles = EqualityTable.rdd(data).repartition(partitions);
      assertEquals(EXPECTED, SparkMoments.ofDoubles(doubles), () -> partitions + " partitions");
      JavaRDD<float[]> floats = doubles.map(EqualityTest::toFloats);
      List<double[]> rounded = new ArrayList<>();
      for (double[] example : EXAMPLES) {
        double[] each = new double[example.length];
        for (int i = 0; i < each.length; i++) {
          each[i] = (float) example[i];
        }
        rounded.add(each);
      }
      ReferenceMoments moments = SparkMoments.ofFloats(floats);
      assertArrayEquals(Formula.mean(rounded), moments.mean());
      assertArrayEquals(Formula.variance(rounded), moments.variance());
    }
  }

  private static float[] toFloats(double[] example) {
    float[] floats = new float[example.length];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = (float) example[i];
    }
    return floats;
  }

  /** One partition has all rows, of the others 62 have none. */
  @Test
  void skewedAndEmptyPartitionsChangeNothing() {
    Dataset<Row> skewed =
        LocalSpark.vectors(EXAMPLES).repartitionByRange(64, functions.col("id").$greater(900));
    assertEquals(EXPECTED, EqualityTable.fit(skewed, "exact"));
    assertClose(EXPECTED, EqualityTable.fit(skewed, "fast"));
    Dataset<Row> empty = LocalSpark.vectors(EXAMPLES).repartition(5).filter("id = 7");
    assertArrayEquals(EXAMPLES[7], EqualityTable.fit(empty, "exact").mean());
    assertArrayEquals(EXAMPLES[7], EqualityTable.fit(empty, "fast").mean());
  }

  @Test
  void fastStatisticsAreTheSameInEveryRunOfOnePartitioning() {
    Dataset<Row> data = LocalSpark.vectors(EXAMPLES).repartition(7).cache();
    ReferenceMoments first = EqualityTable.fit(data, "fast");
    assertClose(EXPECTED, first);
    for (int run = 0; run < 5; run++) {
      assertEquals(first, EqualityTable.fit(data, "fast"));
    }
    data.unpersist();
  }

  /** Chunks end within examples, and statistics do not. */
  @Test
  void fastStatisticsOfMoreThanAChunk() {
    double[][] examples = LocalSpark.examples(300, 1500);
    ReferenceMoments moments = EqualityTable.fit(LocalSpark.vectors(examples).coalesce(1), "fast");
    assertClose(EqualityTable.fit(LocalSpark.vectors(examples), "exact"), moments);
  }

  private static void assertClose(ReferenceMoments expected, ReferenceMoments moments) {
    assertEquals(expected.examples(), moments.examples());
    assertEquals(expected.elements(), moments.elements());
    for (int i = 0; i < expected.features(); i++) {
      assertNear(expected.mean()[i], moments.mean()[i]);
      assertNear(expected.variance()[i], moments.variance()[i]);
    }
  }

  private static void assertNear(double expected, double value) {
    assertTrue(
        Math.abs(value - expected) <= 1e-13 * Math.abs(expected) + 1e-13,
        () -> value + " for " + expected);
  }
}
