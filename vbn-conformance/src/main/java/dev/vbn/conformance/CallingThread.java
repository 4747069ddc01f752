package dev.vbn.conformance;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Threads that a backend may be called from and that are not like the main thread. */
final class CallingThread {
  private CallingThread() {}

  /** Runs on a new thread that has no context class loader. */
  static void withoutClassLoader(Runnable body) {
    CompletableFuture<Void> done = new CompletableFuture<>();
    Thread thread = new Thread(() -> complete(done, body), "vbn-conformance");
    thread.setContextClassLoader(null);
    thread.start();
    await(done);
  }

  /** Runs on a virtual thread; on this one where the JVM has none, as before Java 21. */
  static void virtual(Runnable body) {
    CompletableFuture<Void> done = new CompletableFuture<>();
    Runnable completing = () -> complete(done, body);
    try {
      Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, completing);
    } catch (ReflectiveOperationException e) {
      body.run();
      return;
    }
    await(done);
  }

  private static void complete(CompletableFuture<Void> done, Runnable body) {
    try {
      body.run();
      done.complete(null);
    } catch (Throwable e) {
      done.completeExceptionally(e);
    }
  }

  /** Waits, and throws what the body threw. */
  private static void await(CompletableFuture<Void> done) {
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
