package dev.vbn.kernels;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class WorkersTest {
  @Test
  void aFailureEndsTheCallOnceNothingOfItRuns() {
    Workers workers = new Workers(task -> new Thread(task).start(), 3);
    AtomicInteger running = new AtomicInteger();
    Error thrown = assertThrows(
        InternalError.class,
        () -> workers.forEach(1000, i -> {
          running.incrementAndGet();
          try {
            if (i == 500) {
              throw new InternalError("task 500");
            }
          } finally {
            running.decrementAndGet();
          }
        }));
    assertTrue(running.get() == 0 && "task 500".equals(thrown.getMessage()));
  }
}
