package dev.vbn.nd4j;

import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Phaser;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The threads of one call: the calling one, and helpers of the common pool. The call waits for
 * helpers that have begun, also when it fails, and never for one that has not: such a helper finds
 * the call ended, and holds nothing of it. A parallel stream does not wait when a task throws.
 */
final class Workers {
  private Workers() {}

  /** Runs {@code task} on 0 to {@code tasks - 1}, on at most {@code parallelism} threads. */
  static void forEach(long tasks, int parallelism, LongConsumer task) {
    Call call = new Call(tasks, task);
    long helpers =
        Math.min(Math.min(parallelism, tasks) - 1, ForkJoinPool.getCommonPoolParallelism());
    try {
      for (long i = 0; i < helpers; i++) {
        ForkJoinPool.commonPool().execute(call);
      }
    } catch (RuntimeException | Error e) {
      // A pool that refuses, or has no thread to give, costs speed only.
    }
    call.finish();
  }

  private static final class Call implements Runnable {
    private final long tasks;
    private final AtomicLong next = new AtomicLong();
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /** Who is at work; terminated when nobody is. */
    private final Phaser present = new Phaser(1);

    private volatile @Nullable LongConsumer task;

    Call(long tasks, LongConsumer task) {
      this.tasks = tasks;
      this.task = task;
    }

    @Override
    public void run() {
      if (present.register() >= 0) {
        try {
          work();
        } finally {
          present.arriveAndDeregister();
        }
      }
    }

    private void work() {
      LongConsumer current = task;
      if (current == null) {
        return;
      }
      try {
        for (long i = next.getAndIncrement(); i < tasks; i = next.getAndIncrement()) {
          current.accept(i);
        }
      } catch (Throwable e) {
        failure.compareAndSet(null, e);
        next.set(tasks);
      }
    }

    /** Takes part, and returns when all is done. */
    void finish() {
      work();
      present.awaitAdvance(present.arriveAndDeregister());
      task = null;
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
