/**
 * Virtual batch normalization of ND4J's {@code INDArray}.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.nd4j;

import org.jspecify.annotations.NullMarked;
