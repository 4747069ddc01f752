package dev.vbn.cuda;

import static dev.vbn.cuda.Emulator.Client.ANSWER;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.VbnBackend;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.TensorType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

/** The backend beside another user of the device's primary context: neither disturbs the other. */
@EnabledForJreRange(min = JRE.JAVA_22)
class SharedContextTest extends OnEmulator {
  private static final int OTHERS = 4; // of the other user: the context, a stream, memory, pinned

  private OtherUser other;
  private final float[] values = new float[OtherUser.SIZE];

  @BeforeEach
  void join() {
    other = new OtherUser();
    for (int i = 0; i < values.length; i++) {
      values[i] = i * i % 37;
    }
    other.write(other.memory, values);
    assertEquals(OTHERS, emulator.live());
  }

  @AfterEach
  void leave() {
    if (other != null) {
      other.succeed("cuCtxSetCurrent", 0); // as new threads have it
    }
  }

  /** Kernels and tensors that are watched: each call is followed by a look at the thread's context. */
  private final class Watched implements VbnProvider<CudaTensor> {
    private final CudaProvider provider = new CudaProvider();

    @Override
    public String name() {
      return provider.name();
    }

    @Override
    public int priority() {
      return provider.priority();
    }

    @Override
    public TensorType<CudaTensor> tensorType() {
      return provider.tensorType();
    }

    @Override
    public Availability probe() {
      return provider.probe();
    }

    @Override
    @SuppressWarnings("unchecked") // a class has no arguments of its type
    public Kernels<CudaTensor> open(BackendOptions options) {
      Kernels<CudaTensor> kernels = provider.open(options);
      Object tensors = watched(TensorAccess.class, kernels.tensors(), null);
      return (Kernels<CudaTensor>) watched(Kernels.class, kernels, tensors);
    }

    /** @param tensors what a call of tensors() gives */
    private Object watched(Class<?> type, Object object, Object tensors) {
      return Proxy.newProxyInstance(
          type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
            long before = other.currentContext();
            try {
              Object result = method.invoke(object, arguments);
              return method.getName().equals("tensors") ? tensors : result;
            } catch (InvocationTargetException e) {
              throw e.getCause();
            } finally {
              assertEquals(
                  before, other.currentContext(), () -> "context after " + method.getName());
            }
          });
    }
  }

  @Test
  void eachCallLeavesAThreadsContext() {
    long second = other.driver.get("cuDevicePrimaryCtxRetain", ANSWER, 1);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new Watched())) {
      assertEquals(other.context, other.currentContext(), "after opening");
      for (long context : new long[] {other.context, second, 0}) {
        inANewThread(() -> {
          other.succeed("cuCtxSetCurrent", context);
          Work.on(backend);
          assertEquals(context, other.currentContext());
        });
      }
      Work.on(backend);
    }
    assertEquals(other.context, other.currentContext(), "after closing");
    other.succeed("cuDevicePrimaryCtxRelease_v2", 1);
    assertEquals(OTHERS, emulator.live(), "left after the backend was closed");
  }

  @Test
  void theOthersMemoryAndStreamOutliveTheBackend() {
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      CudaBackend cuda = backend.unwrap(CudaBackend.class);
      CudaTensor x = cuda.wrap(other.memory, DType.FLOAT32, OtherUser.SIZE);
      double[] seen = backend.toHost(x).toDoubles();
      for (int i = 0; i < values.length; i++) {
        assertEquals(values[i], seen[i]);
      }
      inANewThread(() -> Work.on(backend));
      assertArrayEquals(values, other.read(other.memory), "beside the backend");
    }
    assertArrayEquals(values, other.read(other.memory), "after the backend was closed");
    long more = other.newMemory();
    other.write(more, 1, 2, 3);
    other.succeed("cuMemFree_v2", more);
    other.leave();
    assertEquals(0, emulator.live(), "left by both");
  }

  /** Nothing is lost that the other has put into its stream before. */
  @Test
  void theOthersWorkIsDoneWhenItWaitsForIt() {
    long copy = other.newMemory();
    long bytes = (long) OtherUser.SIZE * Float.BYTES;
    other.succeed("cuMemcpyDtoDAsync_v2", copy, other.memory, bytes, other.stream);
    Work.openDoAndClose();
    assertArrayEquals(values, other.read(copy));
    other.succeed("cuMemFree_v2", copy);
  }

  @Test
  void theBackendOutlivesTheOther() {
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      other.leave();
      Work.on(backend);
      inANewThread(() -> Work.on(backend));
    }
    assertEquals(0, emulator.live(), "left by both");
  }

  private static void inANewThread(Runnable work) {
    CompletableFuture.runAsync(work, task -> new Thread(task).start()).join();
  }
}
