package dev.vbn;

import java.util.concurrent.atomic.AtomicBoolean;

/** Whether a closeable object is still open: ends once, and says so when used later. */
final class Lifetime {
  private final String what;
  private final AtomicBoolean ended = new AtomicBoolean();

  Lifetime(String what) {
    this.what = what;
  }

  boolean hasEnded() {
    return ended.get();
  }

  void requireOpen() {
    if (ended.get()) {
      throw new IllegalStateException(what + " used after close; expected an open one");
    }
  }

  /** True for the one call that ends it. */
  boolean end() {
    return ended.compareAndSet(false, true);
  }
}
