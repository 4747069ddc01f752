/**
 * Virtual Batch Normalization (Salimans et al., "Improved Techniques for Training GANs", 2016) on
 * any tensor library: {@link dev.vbn.VbnBackends} finds a backend, {@link
 * dev.vbn.VirtualBatchNorm} is the layer.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn;

import org.jspecify.annotations.NullMarked;
