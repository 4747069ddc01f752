/**
 * Reference statistics and scoring on Apache Spark: an {@link dev.vbn.spark.VirtualBatchNormalizer
 * estimator} and its model for MLlib's pipelines, and {@link dev.vbn.spark.SparkMoments statistics}
 * of data sets, of RDDs, and per key.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.spark;

import org.jspecify.annotations.NullMarked;
