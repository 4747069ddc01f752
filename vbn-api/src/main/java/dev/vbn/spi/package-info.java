/**
 * What a backend implements: a {@link dev.vbn.spi.VbnProvider}, named in {@code
 * META-INF/services/dev.vbn.spi.VbnProvider}, opens {@link dev.vbn.spi.Kernels}, which compute on
 * what {@link dev.vbn.spi.TensorAccess} shows. Arguments arrive checked: a backend never validates
 * what VBN's layer and backend handle have validated.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.spi;

import org.jspecify.annotations.NullMarked;
