package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** After a call has returned or thrown, nothing of it runs and nothing of it is held. */
class ParallelismTest {
  /** Large enough to be shared by threads: of 24 features by whole features, of 2 by chunks. */
  private static final long[] MANY = {32, 24, 1031};

  private static final long[] FEW = {520, 2, 1031};

  private static HostTensor batch(long... shape) {
    HostTensor x = HostTensor.zeros(DType.FLOAT32, shape);
    for (int i = 0; i < x.size(); i++) {
      x.floats()[i] = i % 1009 / 64f;
    }
    return x;
  }

  private static Kernels<HostTensor> open(Executor executor, int parallelism) {
    return new ReferenceProvider(executor).open(new BackendOptions(null, parallelism));
  }

  private static HostTensor forward(Kernels<HostTensor> backend, HostTensor x, HostTensor output) {
    int features = (int) x.shape()[1];
    double[] ones = new double[features];
    Arrays.fill(ones, 1);
    Moments<HostTensor> reference =
        new Moments<>(HostTensor.of(new double[features], features), HostTensor.of(ones, features));
    Normalization how = new Normalization(
        Geometry.of(x.shape(), 1), Scope.BATCH, 0.125, 1e-5, ReferenceGradient.DETACHED);
    return backend.forward(x, how, reference, null, null, output);
  }

  private static float[] expected(long... shape) {
    HostTensor x = batch(shape);
    return forward(open(Runnable::run, 1), x, batch(shape)).floats();
  }

  /** An executor so busy that it never comes to a task. */
  @ParameterizedTest
  @ValueSource(longs = {24, 2})
  void whatWaitsInAnExecutorHoldsNoTensor(long features) {
    List<Runnable> waiting = new ArrayList<>();
    Kernels<HostTensor> backend = open(waiting::add, 4);
    List<WeakReference<float[]>> arrays = forwardOfUnreachable(backend, features == 2 ? FEW : MANY);
    System.gc();
    arrays.forEach(array -> assertTrue(array.get() == null, "an array is held"));
    assertTrue(!waiting.isEmpty(), "expected the executor to have been asked");
    waiting.forEach(Runnable::run);
  }

  private static List<WeakReference<float[]>> forwardOfUnreachable(
      Kernels<HostTensor> backend, long... shape) {
    HostTensor x = batch(shape);
    HostTensor output = batch(shape);
    forward(backend, x, output);
    assertArrayEquals(expected(shape), output.floats());
    return List.of(new WeakReference<>(x.floats()), new WeakReference<>(output.floats()));
  }

  @Test
  void noMoreWaitsInAnExecutorThanItsThreadsCouldTake() {
    AtomicInteger waiting = new AtomicInteger();
    Kernels<HostTensor> backend = open(task -> waiting.incrementAndGet(), 4);
    HostTensor x = batch(MANY);
    HostTensor output = batch(MANY);
    for (int i = 0; i < 50; i++) {
      forward(backend, x, output);
    }
    assertTrue(waiting.get() <= 3, () -> waiting + " tasks");
  }

  private static List<Throwable> refusals() {
    return List.of(
        new RejectedExecutionException("full"),
        new IllegalStateException("stopped"),
        new OutOfMemoryError("unable to create native thread"),
        new StackOverflowError());
  }

  private static <E extends Throwable> RuntimeException sneak(Throwable e) throws E {
    @SuppressWarnings("unchecked")
    E thrown = (E) e;
    throw thrown;
  }

  /** It has taken a task, and then throws: whenever it runs the task, the output stays as it is. */
  @Test
  void whatAnExecutorTookBeforeItThrewWritesNothingLater() {
    for (Throwable refusal : refusals()) {
      for (long[] shape : List.of(MANY, FEW)) {
        List<Runnable> taken = new ArrayList<>();
        Kernels<HostTensor> backend = open(
            task -> {
              taken.add(task);
              throw ParallelismTest.<RuntimeException>sneak(refusal);
            },
            4);
        HostTensor output = HostTensor.zeros(DType.FLOAT32, shape);
        forward(backend, batch(shape), output);
        assertArrayEquals(expected(shape), output.floats(), refusal::toString);
        output.floats()[0] = -1;
        taken.forEach(Runnable::run);
        assertTrue(output.floats()[0] == -1, refusal::toString);
        Arrays.fill(output.floats(), 0);
        taken.forEach(Runnable::run);
        assertArrayEquals(new float[output.size()], output.floats(), refusal::toString);
      }
    }
  }

  /** It has begun a task in a thread of its own, and then throws: the call waits for the thread. */
  @Test
  void aCallWaitsForWhatAnExecutorBeganBeforeItThrew() throws InterruptedException {
    for (Throwable refusal : refusals()) {
      List<Thread> threads = new ArrayList<>();
      Kernels<HostTensor> backend = open(
          task -> {
            Thread thread = new Thread(task);
            threads.add(thread);
            thread.start();
            throw ParallelismTest.<RuntimeException>sneak(refusal);
          },
          4);
      HostTensor output = HostTensor.zeros(DType.FLOAT32, MANY);
      forward(backend, batch(MANY), output);
      float[] atReturn = output.floats().clone();
      for (Thread thread : threads) {
        thread.join();
      }
      assertArrayEquals(expected(MANY), atReturn, refusal::toString);
    }
  }

  /** 2^31 and more threads asked for: no product of that number overflows. */
  @Test
  void asManyThreadsAsAnIntCountsAreTheSame() {
    for (long[] shape : List.of(MANY, FEW)) {
      for (int parallelism : new int[] {1 << 30, Integer.MAX_VALUE}) {
        HostTensor output = HostTensor.zeros(DType.FLOAT32, shape);
        forward(open(task -> {}, parallelism), batch(shape), output);
        assertArrayEquals(expected(shape), output.floats());
      }
    }
  }
}
