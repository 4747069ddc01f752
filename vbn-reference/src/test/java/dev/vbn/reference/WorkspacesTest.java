package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

class WorkspacesTest {
  private static final int THREADS = 200;

  /** One workspace is some 170 KB: with every thread that has called they would be 34 MB. */
  @Test
  void threadsThatHaveCalledHoldNoMemory() throws InterruptedException {
    Kernels<HostTensor> backend = new ReferenceProvider().open(new BackendOptions(null, 1));
    HostTensor x = HostTensor.zeros(DType.FLOAT32, 8, 64);
    Geometry geometry = Geometry.of(x.shape(), 1);
    backend.statistics(x, geometry, Scope.BATCH);
    long before = used();
    CountDownLatch called = new CountDownLatch(THREADS);
    CountDownLatch end = new CountDownLatch(1);
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < THREADS; i++) {
      Thread thread = new Thread(() -> {
        backend.statistics(x, geometry, Scope.BATCH);
        called.countDown();
        try {
          end.await();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      });
      threads.add(thread);
      thread.start();
    }
    called.await();
    long held = used() - before;
    end.countDown();
    for (Thread thread : threads) {
      thread.join();
    }
    long most = Runtime.getRuntime().availableProcessors() * 500_000L + 8_000_000;
    assertTrue(held < most, () -> held + " bytes held; expected fewer than " + most);
  }

  private static long used() {
    System.gc();
    Runtime runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }
}
