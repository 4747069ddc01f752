package dev.vbn.conformance;

import dev.vbn.BackendFailedException;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Threads that a backend may be called from and that are not like the main thread. */
enum CallingThread {
  /** One that has no context class loader. */
  WITHOUT_CLASS_LOADER {
    @Override
    void start(Runnable body) {
      Thread thread = new Thread(body, NAME);
      thread.setContextClassLoader(null);
      thread.start();
    }
  },

  /** A virtual one; an ordinary one where the JVM has none, as before Java 21. */
  VIRTUAL {
    @Override
    void start(Runnable body) {
      try {
        Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, body);
      } catch (ReflectiveOperationException e) {
        super.start(body);
      }
    }
  },

  /**
   * One that was interrupted before: whoever interrupted it waits for it to notice. A call may fail
   * then.
   */
  INTERRUPTED {
    @Override
    void call(Runnable body) {
      Thread.currentThread().interrupt();
      try {
        body.run();
      } catch (BackendFailedException e) {
        // given up, as was asked for
      }
      if (!Thread.interrupted()) {
        throw new AssertionError(
            "the calling thread was interrupted before the calls, and is not behind them; expected"
                + " its interrupt status to be left alone");
      }
    }
  },

  /** Any, in a locale with a decimal comma, where the small letter of I is not i. */
  OF_ANOTHER_LOCALE {
    @Override
    void call(Runnable body) {
      Locale before = Locale.getDefault();
      Locale.setDefault(Locale.forLanguageTag("tr-TR"));
      try {
        body.run();
      } finally {
        Locale.setDefault(before);
      }
    }
  };

  private static final String NAME = "vbn-conformance";

  /** Starts such a thread with the body. */
  void start(Runnable body) {
    new Thread(body, NAME).start();
  }

  /** Runs the body on the thread. */
  void call(Runnable body) {
    body.run();
  }

  /** Runs the body on such a thread, waits, and throws what it threw. */
  void run(Runnable body) {
    CompletableFuture<Void> done = new CompletableFuture<>();
    start(() -> {
      try {
        call(body);
        done.complete(null);
      } catch (Throwable e) {
        done.completeExceptionally(e);
      }
    });
    try {
      done.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while a call was running", e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof Error error) {
        throw error;
      }
      if (e.getCause() instanceof RuntimeException failure) {
        throw failure;
      }
      throw new IllegalStateException(e.getCause());
    }
  }
}
