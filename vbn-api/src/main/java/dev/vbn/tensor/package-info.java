/**
 * Tensors that no library is needed for: what every other package of VBN stands on.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.tensor;

import org.jspecify.annotations.NullMarked;
