package dev.vbn.cuda;

import dev.vbn.spi.Moments;
import dev.vbn.tensor.DType;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * One stream of one device, and the tensors that were made for it. A call holds the lock while it
 * asks things of the driver, so that what belongs together is together in the stream, and no tensor
 * is freed between the look at its address and the kernel that uses it.
 */
final class DeviceStream implements CudaTensor.Owner {
  private static final int DEFAULT_STREAMS_END = 2; // 0 and 1 name the default stream

  private final int ordinal;
  private final CudaDriver driver;
  private final PrimaryContext context;
  private final long handle;
  private final DeviceMemory memory;

  /** What was opened in the context, to be closed in it. */
  private final CloseStack resources;

  private final ReentrantLock lock = new ReentrantLock();
  private final Set<CudaTensor> open = new HashSet<>();
  private boolean closed;

  private DeviceStream(
      int ordinal,
      CudaDriver driver,
      PrimaryContext context,
      long handle,
      DeviceMemory memory,
      CloseStack resources) {
    this.ordinal = ordinal;
    this.driver = driver;
    this.context = context;
    this.handle = handle;
    this.memory = memory;
    this.resources = resources;
  }

  /** What is opened on the stream, while its context is current. */
  interface Opening<R> {
    /**
     * Opens it.
     *
     * @param resources closed with the stream, or if this fails
     */
    R open(DeviceStream stream, CloseStack resources);
  }

  /**
   * Opens the stream and what works in it; what a failure leaves open is closed again.
   *
   * @param device handle of the device
   * @param given the caller's stream; null for a new one
   */
  static <R> R open(
      CudaDriver driver, int ordinal, int device, @Nullable Long given, Opening<R> opening) {
    PrimaryContext context = PrimaryContext.retain(driver, device);
    CloseStack around = new CloseStack();
    CloseStack resources = new CloseStack();
    try {
      around.push(context::release);
      long previous = context.enter();
      around.push(() -> context.restore(previous));
      DeviceStream stream = open(driver, ordinal, device, context, resources, given);
      R opened = opening.open(stream, resources);
      context.restore(previous);
      return opened;
    } catch (RuntimeException | Error e) {
      resources.closeAfter(e);
      around.closeAfter(e);
      throw e;
    }
  }

  private static DeviceStream open(
      CudaDriver driver,
      int ordinal,
      int device,
      PrimaryContext context,
      CloseStack resources,
      @Nullable Long given) {
    long handle;
    if (given == null) {
      handle = driver.createStream();
      resources.push(() -> driver.destroyStream(handle));
    } else {
      handle = given;
      requireOwnStream(driver, ordinal, context, handle);
    }
    DeviceMemory memory = DeviceMemory.of(driver, device, ordinal, handle);
    resources.push(memory::close);
    return new DeviceStream(ordinal, driver, context, handle, memory, resources);
  }

  private static void requireOwnStream(
      CudaDriver driver, int ordinal, PrimaryContext context, long stream) {
    if (stream >= 0 && stream < DEFAULT_STREAMS_END) {
      return;
    }
    long other = driver.contextOfStream(stream);
    if (other != 0 && other != context.handle()) {
      throw new IllegalArgumentException("stream 0x" + Long.toHexString(stream)
          + " belongs to another context; expected one of the primary context of device "
          + ordinal);
    }
  }

  @Override
  public int device() {
    return ordinal;
  }

  long handle() {
    return handle;
  }

  CudaDriver driver() {
    return driver;
  }

  /** Refuses a tensor of another stream, whose work this one does not wait for. */
  void requireOwn(CudaTensor tensor) {
    tensor.requireOpen(); // of a freed tensor that is said first
    if (tensor.device() != ordinal) {
      throw new IllegalArgumentException(
          tensor + " was given to a backend on device " + ordinal + "; expected a tensor there");
    }
    if (tensor.owner() != this) {
      throw new IllegalArgumentException(tensor + " is another backend's; expected one of this"
          + " backend, whose stream knows when it is written");
    }
  }

  /** Starts a call, which is closed at its end. */
  Call call() {
    return new Call();
  }

  @Override
  public void free(CudaTensor tensor) {
    int held = lock.getHoldCount();
    try {
      lock.lock();
      if (open.contains(tensor)) { // else the caller's memory, or freed with the backend
        long previous = context.enter();
        try {
          memory.free(tensor.address());
          open.remove(tensor);
        } finally {
          context.restore(previous);
        }
      }
    } catch (CudaException e) {
      if (!e.sticky()) { // else the memory is lost with the context
        throw e;
      }
    } finally {
      unlock(held);
    }
  }

  /** Frees the tensors that are still open and what was opened; harmless when repeated. */
  void close() {
    int held = lock.getHoldCount();
    try {
      lock.lock();
      if (!closed) {
        closed = true;
        CloseStack steps = new CloseStack();
        steps.push(context::release);
        long previous = enterToClose(steps);
        steps.push(() -> context.restore(previous));
        steps.push(resources::close);
        steps.push(() -> driver.synchronize(handle)); // it may still use what is closed next
        steps.push(memory::forget); // once more, if it failed
        steps.push(memory::forget);
        for (CudaTensor tensor : List.copyOf(open)) {
          steps.push(() -> free(tensor)); // once more, if it failed when the tensor was closed
          steps.push(tensor::close);
        }
        steps.close();
      }
    } catch (CudaException e) {
      if (!e.sticky()) { // else all of it is lost with the context
        throw e;
      }
    } finally {
      unlock(held);
    }
  }

  /** Without the context nothing could be freed, so a failure is retried before it is reported. */
  private long enterToClose(CloseStack steps) {
    try {
      return context.enter();
    } catch (CudaException e) {
      steps.push(() -> {
        throw e;
      });
      return context.enter();
    }
  }

  /**
   * Gives the lock back as often as it was taken since then. By the count, since taking it with the
   * last of the stack throws although it is then held.
   */
  private void unlock(int held) {
    while (lock.getHoldCount() > held) {
      lock.unlock();
    }
  }

  /**
   * One call: holds the lock and the context, frees its scratch memory when it is closed, and what it
   * has made unless it is done.
   */
  final class Call implements AutoCloseable {
    private final int held = lock.getHoldCount();
    private final CloseStack end = new CloseStack();
    private final Deque<Long> scratch = new ArrayDeque<>();
    private @Nullable Boolean capturing;
    private final Deque<CudaTensor> made = new ArrayDeque<>();

    private Call() {
      try {
        lock.lock();
        if (closed) {
          throw new IllegalStateException("cuda backend used after close; expected an open one");
        }
        long previous = context.enter();
        end.push(() -> context.restore(previous));
      } catch (RuntimeException | Error e) {
        unlock(held);
        throw e;
      }
    }

    /** Address of an argument. */
    long pointer(CudaTensor tensor) {
      requireOwn(tensor);
      return tensor.pointer();
    }

    /** Address of an argument; 0 for none. */
    long pointerOrNull(@Nullable CudaTensor tensor) {
      return tensor == null ? 0 : pointer(tensor);
    }

    /** A new tensor, its elements not set. */
    CudaTensor tensor(DType dtype, long... shape) {
      long bytes = CudaTensor.size(shape) * CudaTensor.elementBytes(dtype);
      CudaTensor tensor =
          new CudaTensor(DeviceStream.this, memory.allocate(bytes), false, dtype, shape);
      open.add(tensor);
      made.push(tensor);
      return tensor;
    }

    /** New statistics. */
    Moments<CudaTensor> moments(long... shape) {
      return new Moments<>(tensor(DType.FLOAT64, shape), tensor(DType.FLOAT64, shape));
    }

    /** Memory until the end of this call; its contents are not set. */
    long scratch(long bytes) {
      long pointer = capturing() ? 0 : memory.scratch(bytes);
      if (pointer == 0) {
        pointer = memory.allocate(bytes);
        scratch.push(pointer);
      }
      return pointer;
    }

    /** Integers of 32 bits at 0, for one launch that leaves them so. */
    long counters(long count) {
      if (!capturing()) {
        return memory.counters(count);
      }
      long pointer = scratch(count * Integer.BYTES);
      driver.clear(pointer, count, handle);
      return pointer;
    }

    /** A graph may run at the same time as later calls, and so has memory of its own. */
    boolean capturing() {
      if (capturing == null) {
        capturing = driver.isCapturing(handle);
      }
      return capturing;
    }

    /** An event that measures time, until the end of this call. */
    long timer() {
      long event = driver.createEvent(true);
      end.push(() -> driver.destroyEvent(event));
      return event;
    }

    /** Waits until the device has come to here. */
    void await() {
      driver.synchronize(handle);
    }

    /** Waits, and gives the memory that is kept for coming calls back to the device. */
    void trim() {
      memory.trim();
    }

    /** Marks the call as done, and what it has made as the caller's. */
    <R> R done(R result) {
      freeScratch();
      made.clear();
      return result;
    }

    private void freeScratch() {
      memory.done();
      while (!scratch.isEmpty()) {
        memory.free(scratch.peek());
        scratch.pop();
      }
    }

    @Override
    public void close() {
      try {
        made.forEach(tensor -> end.push(tensor::close));
        end.push(this::freeScratch);
        end.close();
      } finally {
        unlock(held);
      }
    }
  }
}
