/**
 * Virtual batch normalization of {@link dev.vbn.tensor.HostTensor} in plain Java.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.reference;

import org.jspecify.annotations.NullMarked;
