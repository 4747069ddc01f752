/**
 * Virtual batch normalization as a layer of Deeplearning4j: {@link
 * dev.vbn.dl4j.VirtualBatchNormalization} where a {@code BatchNormalization} stood.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.dl4j;

import org.jspecify.annotations.NullMarked;
