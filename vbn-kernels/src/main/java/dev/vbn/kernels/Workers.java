package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Spreads tasks over an executor. The calling thread takes part and waits for tasks that have
 * begun, never for one that has not: an executor that is busy, or refuses, costs speed only.
 *
 * <p>What waits in the executor belongs to no call: it helps those that are running when its turn
 * comes, and holds nothing of one that has ended.
 */
final class Workers {
  /** Nanoseconds to wait for the last task without giving up the processor. */
  private static final long SPIN = 20_000;

  private final Executor executor;
  final int parallelism;

  /** As many helpers may wait in the executor as could run at once: a busy one gathers no more. */
  private final Semaphore places;

  private final Queue<Run> running = new ConcurrentLinkedQueue<>();

  /** At most {@code parallelism} threads, the calling one included. */
  Workers(Executor executor, int parallelism) {
    this.executor = executor;
    this.parallelism = parallelism;
    places = new Semaphore(parallelism - 1);
  }

  /** Runs {@code task} on 0 to {@code tasks - 1}, or throws what one of them has thrown. */
  void forEach(int tasks, IntConsumer task) {
    Run run = new Run(tasks, task);
    try {
      running.add(run);
      for (int i = 1; i < Math.min(parallelism, tasks) && askForHelp(); i++) {}
      run.work();
    } finally {
      running.remove(run);
      run.end();
    }
    run.rethrow();
  }

  private boolean askForHelp() {
    Helper helper = new Helper();
    if (!places.tryAcquire()) {
      return false;
    }
    try {
      executor.execute(helper);
      return true;
    } catch (Throwable e) {
      // Whatever it is, and whether or not the helper has been taken: the calling thread goes on.
      helper.leave();
      return false;
    }
  }

  private final class Helper implements Runnable {
    private final AtomicBoolean waiting = new AtomicBoolean(true);

    @Override
    public void run() {
      if (leave()) {
        for (Run run : running) {
          run.work();
        }
      }
    }

    /** Frees the place; false if that has been done. */
    boolean leave() {
      boolean left = waiting.getAndSet(false);
      if (left) {
        places.release();
      }
      return left;
    }
  }

  /** The tasks of one call. */
  private static final class Run {
    private final int tasks;
    private final AtomicInteger next = new AtomicInteger();
    private final CountDownLatch unfinished;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /** Null once the call has ended. */
    private @Nullable IntConsumer task;

    Run(int tasks, IntConsumer task) {
      this.tasks = tasks;
      this.task = task;
      unfinished = new CountDownLatch(tasks);
    }

    void work() {
      for (int i = next.getAndIncrement(); i < tasks; i = next.getAndIncrement()) {
        try {
          requireNonNull(task).accept(i);
        } catch (Throwable e) {
          failure.compareAndSet(null, e);
          dropRest();
        } finally {
          unfinished.countDown();
        }
      }
    }

    private void dropRest() {
      for (int left = tasks - next.getAndSet(tasks); left > 0; left--) {
        unfinished.countDown();
      }
    }

    /** Lets no more tasks begin, waits for those that have begun, and forgets them. */
    void end() {
      dropRest();
      // Being woken costs more than this: 20 to 50 us.
      for (long end = System.nanoTime() + SPIN; unfinished.getCount() > 0; ) {
        if (System.nanoTime() > end) {
          break;
        }
        Thread.onSpinWait();
      }
      boolean interrupted = false;
      while (true) {
        try {
          unfinished.await();
          break;
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      task = null;
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }

    void rethrow() {
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
