/** Virtual batch normalization of {@link dev.vbn.tensor.HostTensor} in plain Java. */
@NullMarked
package dev.vbn.reference;

import org.jspecify.annotations.NullMarked;
