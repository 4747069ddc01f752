package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.spi.Geometry;
import java.lang.ref.WeakReference;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** After a call nothing of it is running or held, whatever the pool does. */
class WorkersTest {
  @Test
  void eachTaskRunsOnce() {
    AtomicIntegerArray runs = new AtomicIntegerArray(1000);
    Workers.forEach(1000, 8, task -> runs.incrementAndGet((int) task));
    for (int i = 0; i < runs.length(); i++) {
      assertEquals(1, runs.get(i), "task " + i);
    }
  }

  @Test
  void noMoreThreadsTakePartThanAllowed() {
    for (int parallelism : new int[] {1, 2}) {
      Set<Thread> threads = ConcurrentHashMap.newKeySet();
      Workers.forEach(10_000, parallelism, task -> threads.add(Thread.currentThread()));
      assertFalse(threads.size() > parallelism, threads::toString);
    }
  }

  @Test
  void aBusyPoolIsNotWaitedForAndHoldsNothing() {
    int busy = 2 * ForkJoinPool.getCommonPoolParallelism();
    CountDownLatch release = new CountDownLatch(1);
    for (int i = 0; i < busy; i++) {
      ForkJoinPool.commonPool().execute(() -> {
        try {
          release.await();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      });
    }
    try {
      AtomicLong sum = new AtomicLong();
      WeakReference<byte[]> held = call(sum);
      assertEquals(4950, sum.get());
      System.gc();
      assertNull(held.get(), "what a queued helper holds");
    } finally {
      release.countDown();
      ForkJoinPool.commonPool().awaitQuiescence(1, TimeUnit.MINUTES);
    }
  }

  private static WeakReference<byte[]> call(AtomicLong sum) {
    byte[] argument = new byte[1000];
    Workers.forEach(100, 8, task -> sum.addAndGet(task + argument[(int) task]));
    return new WeakReference<>(argument);
  }

  @Test
  void aFailureIsThrownWhenTheOthersHaveEnded() {
    assumeTrue(ForkJoinPool.getCommonPoolParallelism() > 0, "a pool with threads");
    CountDownLatch begun = new CountDownLatch(1);
    AtomicBoolean returned = new AtomicBoolean();
    AtomicBoolean outlived = new AtomicBoolean(true);
    IllegalArgumentException failure = new IllegalArgumentException("of one task");
    Thread caller = Thread.currentThread();
    IllegalArgumentException thrown = assertThrows(
        IllegalArgumentException.class,
        () -> Workers.forEach(1 << 20, 2, task -> {
          if (Thread.currentThread() != caller) {
            begun.countDown();
            long until = System.nanoTime() + 50_000_000;
            while (System.nanoTime() < until && !returned.get()) {
              Thread.onSpinWait();
            }
            outlived.set(returned.get());
          } else {
            awaitUninterruptibly(begun);
            throw failure;
          }
        }));
    returned.set(true);
    assertSame(failure, thrown);
    assertFalse(outlived.get(), "a task ran on after the call had thrown");
  }

  private static void awaitUninterruptibly(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** Counts of tiles and of elements in them, next to where an int ends. */
  @Test
  void tilesCoverAllFeaturesHoweverMany() {
    for (int features : new int[] {Integer.MAX_VALUE, Integer.MAX_VALUE - 511, 1 << 30}) {
      AtomicLong covered = new AtomicLong();
      Tile.forEach(new Geometry(1, 1, features, 1), 1, 2, tile -> {
        covered.addAndGet(tile.features);
        tile.forEachStrip(0, (at, lanes) -> assertEquals(tile.firstFeature, at));
      });
      assertEquals(features, covered.get());
    }
  }

  @Test
  void stripsCoverAllElementsHoweverMany() {
    for (Geometry geometry : new Geometry[] {
      new Geometry(1, 1, 1, (1L << 31) + 5),
      new Geometry((1L << 31) + 5, 1, 1, 1),
      new Geometry(3, 1L << 23, 7, 100),
      new Geometry((1L << 22) + 1, 1, 3, 512),
    }) {
      AtomicLong covered = new AtomicLong();
      Tile.forEach(geometry, 1, 2, tile -> {
        long[] count = new long[1];
        tile.forEachStrip(0, (at, lanes) -> count[0] += lanes);
        covered.addAndGet(count[0]);
      });
      assertEquals(geometry.size(), covered.get(), geometry::toString);
    }
  }
}
