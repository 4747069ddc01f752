/**
 * What a backend implements: a {@link dev.vbn.spi.VbnProvider}, named in {@code
 * META-INF/services/dev.vbn.spi.VbnProvider}, opens a {@link dev.vbn.spi.VbnBackend}, which
 * computes. Arguments arrive checked: a backend never validates what {@link
 * dev.vbn.VirtualBatchNorm} has validated.
 */
@NullMarked
package dev.vbn.spi;

import org.jspecify.annotations.NullMarked;
