/** The backend {@code djl}: virtual batch normalization on DJL's {@code NDArray}, in the graph. */
@NullMarked
package dev.vbn.djl;

import org.jspecify.annotations.NullMarked;
