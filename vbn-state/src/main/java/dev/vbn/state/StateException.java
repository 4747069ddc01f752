package dev.vbn.state;

import java.io.IOException;

/** A file is not the tensors or the layer that was expected; the message says why. */
public final class StateException extends IOException {
  private static final long serialVersionUID = 1;

  StateException(String message) {
    super(message);
  }

  StateException(String message, Throwable cause) {
    super(message, cause);
  }
}
