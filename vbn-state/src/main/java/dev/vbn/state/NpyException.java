package dev.vbn.state;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** A file is not the {@code .npy} or {@code .npz} that was expected; the message says why. */
public final class NpyException extends IOException {
  private static final long serialVersionUID = 1;

  NpyException(String message) {
    super(message);
  }

  NpyException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
