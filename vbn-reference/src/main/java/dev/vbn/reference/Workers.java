package dev.vbn.reference;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Spreads tasks over an executor. The calling thread takes part and waits for tasks that have
 * begun, never for one that has not: an executor that is busy, or refuses, costs speed only.
 */
final class Workers {
  private final Executor executor;
  final int parallelism;

  /** At most {@code parallelism} threads, the calling one included. */
  Workers(Executor executor, int parallelism) {
    this.executor = executor;
    this.parallelism = parallelism;
  }

  /** Runs {@code task} on 0 to {@code tasks - 1}. */
  void forEach(int tasks, IntConsumer task) {
    Run run = new Run(tasks, task);
    try {
      for (int i = 1; i < Math.min(parallelism, tasks); i++) {
        executor.execute(run);
      }
    } catch (RejectedExecutionException e) {
      // Then this thread does the work.
    }
    run.run();
    run.await();
  }

  private static final class Run implements Runnable {
    private final int tasks;
    private final IntConsumer task;
    private final AtomicInteger next = new AtomicInteger();
    private final CountDownLatch unfinished;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    Run(int tasks, IntConsumer task) {
      this.tasks = tasks;
      this.task = task;
      unfinished = new CountDownLatch(tasks);
    }

    @Override
    public void run() {
      for (int i = next.getAndIncrement(); i < tasks; i = next.getAndIncrement()) {
        try {
          task.accept(i);
        } catch (Throwable e) {
          failure.compareAndSet(null, e);
        } finally {
          unfinished.countDown();
        }
      }
    }

    void await() {
      boolean interrupted = false;
      while (true) {
        try {
          unfinished.await();
          break;
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
      Throwable e = failure.get();
      if (e instanceof Error error) {
        throw error;
      }
      if (e instanceof RuntimeException exception) {
        throw exception;
      }
    }
  }
}
