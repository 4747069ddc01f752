/**
 * Tensors that need no library: what every other package of VBN builds on.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.tensor;

import org.jspecify.annotations.NullMarked;
