/**
 * State files: a {@link dev.vbn.state.LayerState layer} saved and loaded, tensors in {@link
 * dev.vbn.state.Safetensors safetensors} and in NumPy's {@link dev.vbn.state.Npy npy} and {@link
 * dev.vbn.state.Npz npz}.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.state;

import org.jspecify.annotations.NullMarked;
