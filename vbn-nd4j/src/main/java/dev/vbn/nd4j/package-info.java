/** Virtual batch normalization of ND4J's {@code INDArray}. */
@NullMarked
package dev.vbn.nd4j;

import org.jspecify.annotations.NullMarked;
