/**
 * The backend {@code cuda}: virtual batch normalization in the memory of an NVIDIA GPU. Needs Java
 * 22 or newer and the NVIDIA driver, nothing else.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.cuda;

import org.jspecify.annotations.NullMarked;
