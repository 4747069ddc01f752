/**
 * The backend {@code djl}: virtual batch normalization on DJL's {@code NDArray}, in the graph.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.djl;

import org.jspecify.annotations.NullMarked;
