/** Reader and writer of NumPy's {@code .npy} and {@code .npz} files of float32 and float64. */
@NullMarked
package dev.vbn.state;

import org.jspecify.annotations.NullMarked;
