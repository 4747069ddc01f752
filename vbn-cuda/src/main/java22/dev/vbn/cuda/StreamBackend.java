package dev.vbn.cuda;

import dev.vbn.Gradients;
import dev.vbn.cuda.BatchKernels.RangeBytes;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The backend on one stream of one device. A call holds the lock while it asks things of the driver,
 * so that what belongs together is together in the stream, and no tensor is freed between the look
 * at its address and the kernel that uses it.
 */
final class StreamBackend implements CudaBackend, CudaTensor.Owner {
  private static final int DEFAULT_STREAMS_END = 3; // 0, 1 and 2 name default streams

  // CUdevice_attribute
  private static final int MEMORY_KILOHERTZ = 36;
  private static final int MEMORY_BUS_BITS = 37;
  private static final int CACHE_BYTES = 38;

  /** What a range's three launches cost, waiting for one another, beside the reading that they save. */
  private static final long LEAST_RANGE_MICROSECONDS = 20;

  private final int ordinal;
  private final CudaDriver driver;
  private final PrimaryContext context;
  private final long stream;
  private final DeviceMemory memory;
  private final Staging staging;
  private final Kernels kernels;
  private final RangeBytes rangeBytes;

  /** What was opened here, to be closed in the context, all but the context itself. */
  private final CloseStack resources;

  private final ReentrantLock lock = new ReentrantLock();
  private final Set<CudaTensor> open = new HashSet<>();
  private boolean closed;

  private StreamBackend(
      int ordinal,
      CudaDriver driver,
      PrimaryContext context,
      long stream,
      DeviceMemory memory,
      Staging staging,
      Kernels kernels,
      RangeBytes rangeBytes,
      CloseStack resources) {
    this.ordinal = ordinal;
    this.driver = driver;
    this.context = context;
    this.stream = stream;
    this.memory = memory;
    this.staging = staging;
    this.kernels = kernels;
    this.rangeBytes = rangeBytes;
    this.resources = resources;
  }

  /**
   * Opens the backend; what a failure leaves open is closed again.
   *
   * @param device handle of the device
   * @param given the caller's stream; null for a new one
   */
  static StreamBackend open(CudaDriver driver, int ordinal, int device, @Nullable Long given) {
    PrimaryContext context = PrimaryContext.retain(driver, device);
    CloseStack around = new CloseStack();
    CloseStack resources = new CloseStack();
    try {
      around.push(context::release);
      long previous = context.enter();
      around.push(() -> context.restore(previous));
      StreamBackend backend = open(driver, ordinal, device, context, resources, given);
      context.restore(previous);
      return backend;
    } catch (RuntimeException e) {
      resources.closeAfter(e);
      around.closeAfter(e);
      throw e;
    }
  }

  private static StreamBackend open(
      CudaDriver driver,
      int ordinal,
      int device,
      PrimaryContext context,
      CloseStack resources,
      @Nullable Long given) {
    long stream;
    if (given == null) {
      stream = driver.createStream();
      resources.push(() -> driver.destroyStream(stream));
    } else {
      stream = given;
      requireOwnStream(driver, ordinal, context, stream);
    }
    DeviceMemory memory = DeviceMemory.of(driver, device, ordinal, stream);
    resources.push(memory::close);
    Kernels kernels = Kernels.load(driver, device, stream);
    resources.push(kernels::close);
    Staging staging = new Staging(driver, stream);
    resources.push(staging::close);
    return new StreamBackend(
        ordinal,
        driver,
        context,
        stream,
        memory,
        staging,
        kernels,
        rangeBytes(driver, device),
        resources);
  }

  private static RangeBytes rangeBytes(CudaDriver driver, int device) {
    // Memory moves data twice in a cycle of its clock.
    long bytesPerMillisecond = 2L
        * driver.attribute(device, MEMORY_KILOHERTZ)
        * driver.attribute(device, MEMORY_BUS_BITS)
        / Byte.SIZE;
    long least = bytesPerMillisecond * LEAST_RANGE_MICROSECONDS / 1000;
    return new RangeBytes(
        // A driver that does not tell has no ranges: whole batches are never much slower.
        least == 0 ? Long.MAX_VALUE : least,
        // The other half is for what is written meanwhile.
        driver.attribute(device, CACHE_BYTES) / 2);
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
  public Class<CudaTensor> tensorType() {
    return CudaTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT16,
        Capability.BFLOAT16,
        Capability.CALLER_SUPPLIED_OUTPUT);
  }

  @Override
  public int device() {
    return ordinal;
  }

  @Override
  public long stream() {
    return stream;
  }

  @Override
  public long[] shape(CudaTensor tensor) {
    requireOpen();
    return tensor.shape();
  }

  @Override
  public DType dtype(CudaTensor tensor) {
    requireOpen();
    return tensor.dtype();
  }

  @Override
  public CudaTensor allocate(DType dtype, long... shape) {
    try (Call call = new Call()) {
      return call.done(call.tensor(dtype, shape));
    }
  }

  @Override
  public CudaTensor wrap(long pointer, DType dtype, long... shape) {
    try (Call call = new Call()) {
      CudaTensor tensor = new CudaTensor(this, pointer, true, dtype, shape);
      int elementBytes = CudaTensor.elementBytes(dtype);
      if (pointer % elementBytes != 0) {
        throw new IllegalArgumentException("pointer is 0x" + Long.toHexString(pointer)
            + "; expected a multiple of " + elementBytes + ", the bytes of a " + dtype);
      }
      if (tensor.size() > 0) {
        requireHere(pointer);
      }
      return call.done(tensor);
    }
  }

  private void requireHere(long pointer) {
    int device;
    try {
      device = driver.deviceOfPointer(pointer);
    } catch (CudaException e) {
      if (e.code() != 1) { // CUDA_ERROR_INVALID_VALUE: no memory that the driver knows
        throw e;
      }
      throw new IllegalArgumentException(
          "pointer is 0x" + Long.toHexString(pointer) + "; expected memory of device " + ordinal,
          e);
    }
    if (device != ordinal) {
      throw new IllegalArgumentException("pointer 0x" + Long.toHexString(pointer)
          + " is memory of device " + device + "; expected device " + ordinal);
    }
  }

  @Override
  public CudaTensor fromHost(HostTensor host, DType dtype) {
    HostElements elements = HostElements.of(host, dtype);
    try (Call call = new Call()) {
      CudaTensor tensor = call.tensor(dtype, host.shape());
      staging.toDevice(elements, tensor);
      return call.done(tensor);
    }
  }

  @Override
  public HostTensor toHost(CudaTensor tensor) {
    try (Call call = new Call()) {
      call.pointer(tensor);
      HostElements elements = HostElements.zeros(tensor.dtype(), tensor.shape());
      staging.toHost(tensor, elements);
      return call.done(elements.host());
    }
  }

  @Override
  public void release(CudaTensor tensor) {
    tensor.close();
  }

  @Override
  public void synchronize() {
    try (Call call = new Call()) {
      call.await();
    }
  }

  /** Copies all bytes of one tensor to another of as many. */
  void copy(CudaTensor from, CudaTensor to) {
    try (Call call = new Call()) {
      driver.copyOnDevice(call.pointer(from), call.pointer(to), from.bytes(), stream);
    }
  }

  /** How long the device takes for what {@code work} asks of it, and waits for it. */
  float milliseconds(Runnable work) {
    try (Call call = new Call()) {
      long start = call.timer();
      long end = call.timer();
      driver.record(start, stream);
      work.run();
      driver.record(end, stream);
      driver.awaitEvent(end);
      return driver.milliseconds(start, end);
    }
  }

  @Override
  public Moments<CudaTensor> statistics(CudaTensor x, Geometry geometry) {
    try (Call call = new Call()) {
      long from = call.pointer(x);
      BatchKernels batch = batch(x, geometry, Scope.BATCH, from);
      Moments<CudaTensor> moments = call.moments(geometry.features());
      long sums = call.scratch(batch.sumsBytes());
      batch.forEachRange(range -> {
        batch.sums(range, from, 0, sums);
        batch.mixForward(
            range, sums, 0, 0, 0, 0, at(moments.mean()), at(moments.variance()), 0, 1, 1);
      });
      return call.done(moments);
    }
  }

  /** The kernels on {@code x}; tensors that are read once only follow with {@code other}. */
  private BatchKernels batch(
      CudaTensor x, Geometry geometry, Scope scope, long from, long... other) {
    return new BatchKernels(
        kernels, rangeBytes, x.dtype(), geometry, scope, new long[] {from}, other);
  }

  @Override
  public Normalized<CudaTensor> forward(
      CudaTensor x,
      Normalization how,
      @Nullable Moments<CudaTensor> reference,
      @Nullable CudaTensor gamma,
      @Nullable CudaTensor beta,
      @Nullable CudaTensor output) {
    Geometry geometry = how.geometry();
    Scope scope = how.scope();
    try (Call call = new Call()) {
      long from = call.pointer(x);
      long scale = call.pointerOrNull(gamma);
      long offset = call.pointerOrNull(beta);
      long referenceMean = reference == null ? 0 : call.pointer(reference.mean());
      long referenceVariance = reference == null ? 0 : call.pointer(reference.variance());
      CudaTensor result = output == null ? call.tensor(x.dtype(), x.shape()) : output;
      long to = call.pointer(result);
      Moments<CudaTensor> moments = scope == Scope.EXAMPLE
          ? call.moments(geometry.batch(), geometry.features())
          : call.moments(geometry.features());
      BatchKernels batch = batch(x, geometry, scope, from, to);
      boolean live = scope != Scope.NONE;
      long lines = call.scratch(batch.linesBytes() + (live ? batch.sumsBytes() : 0));
      long sums = live ? lines + batch.linesBytes() : 0;
      batch.forEachRange(range -> {
        if (live) {
          batch.sums(range, from, 0, sums);
        }
        batch.mixForward(
            range,
            sums,
            referenceMean,
            referenceVariance,
            scale,
            offset,
            at(moments.mean()),
            at(moments.variance()),
            lines,
            how.weight(),
            how.epsilon());
        batch.normalize(range, from, to, lines);
      });
      return call.done(new Normalized<>(result, moments));
    }
  }

  private static long at(CudaTensor made) {
    return made.address();
  }

  @Override
  public Gradients<CudaTensor> backward(
      CudaTensor x,
      CudaTensor upstream,
      Normalization how,
      @Nullable Moments<CudaTensor> reference,
      @Nullable CudaTensor gamma,
      @Nullable CudaTensor dx) {
    Geometry geometry = how.geometry();
    long features = geometry.features();
    try (Call call = new Call()) {
      long from = call.pointer(x);
      long dy = call.pointer(upstream);
      long scale = call.pointerOrNull(gamma);
      long referenceMean = reference == null ? 0 : call.pointer(reference.mean());
      long referenceVariance = reference == null ? 0 : call.pointer(reference.variance());
      DType parameters = x.dtype().parameterType();
      CudaTensor result = dx == null ? call.tensor(x.dtype(), x.shape()) : dx;
      long to = call.pointer(result);
      CudaTensor dgamma = call.tensor(parameters, features);
      CudaTensor dbeta = call.tensor(parameters, features);
      Moments<CudaTensor> toReference =
          reference != null && how.referenceGradient() == ReferenceGradient.ATTACHED
              ? call.moments(features)
              : null;
      BatchKernels batch = new BatchKernels(
          kernels, rangeBytes, x.dtype(), geometry, how.scope(), new long[] {from, dy}, to);
      long sums = call.scratch(batch.sumsBytes() + batch.linesBytes() + batch.gradientsBytes());
      long lines = sums + batch.sumsBytes();
      long gradients = lines + batch.linesBytes();
      // Without a weight x has no part in its gradient: 0 * NaN is NaN.
      long live = how.weight() == 0 ? 0 : from;
      batch.forEachRange(range -> {
        batch.sums(range, from, dy, sums);
        batch.mixBackward(
            range,
            sums,
            referenceMean,
            referenceVariance,
            scale,
            lines,
            gradients,
            how.weight(),
            how.epsilon());
        batch.differentiate(range, live, dy, to, lines);
      });
      batch.sumGroups(
          gradients,
          at(dgamma),
          at(dbeta),
          toReference == null ? 0 : at(toReference.mean()),
          toReference == null ? 0 : at(toReference.variance()));
      return call.done(new Gradients<>(result, dgamma, dbeta, toReference));
    }
  }

  @Override
  public CudaTensor referenceGradient(
      CudaTensor r,
      Geometry geometry,
      Moments<CudaTensor> statistics,
      Moments<CudaTensor> gradient,
      long elements) {
    try (Call call = new Call()) {
      long from = call.pointer(r);
      long mean = call.pointer(statistics.mean());
      long dMean = call.pointer(gradient.mean());
      long dVariance = call.pointer(gradient.variance());
      CudaTensor dr = call.tensor(r.dtype(), r.shape());
      BatchKernels batch = batch(r, geometry, Scope.NONE, from, at(dr));
      long lines = call.scratch(batch.linesBytes());
      batch.referenceLines(mean, dMean, dVariance, lines, elements);
      batch.forEachRange(range -> batch.normalize(range, from, at(dr), lines));
      return call.done(dr);
    }
  }

  private void requireOpen() {
    lock.lock();
    try {
      if (closed) {
        throw new IllegalStateException("cuda backend used after close; expected an open one");
      }
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void free(CudaTensor tensor) {
    lock.lock();
    try {
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
      lock.unlock();
    }
  }

  @Override
  public void close() {
    lock.lock();
    try {
      if (!closed) {
        closed = true;
        CloseStack steps = new CloseStack();
        steps.push(context::release);
        long previous = enterToClose(steps);
        steps.push(() -> context.restore(previous));
        steps.push(resources::close);
        steps.push(() -> driver.synchronize(stream)); // it may still use what is closed next
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
      lock.unlock();
    }
  }

  /** Without the context everything would be left, so a failure is tried again before it is told. */
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
   * One call: holds the lock and the context, frees its scratch memory when it is closed, and what it
   * has made unless it is done.
   */
  private final class Call implements AutoCloseable {
    private final CloseStack end = new CloseStack();
    private final Deque<Long> scratch = new ArrayDeque<>();
    private final Deque<CudaTensor> made = new ArrayDeque<>();

    Call() {
      lock.lock();
      try {
        requireOpen();
        long previous = context.enter();
        end.push(() -> context.restore(previous));
      } catch (RuntimeException e) {
        lock.unlock();
        throw e;
      }
    }

    /** Address of an argument. */
    long pointer(CudaTensor tensor) {
      if (tensor.device() != ordinal) {
        throw new IllegalArgumentException(
            tensor + " was given to a backend on device " + ordinal + "; expected a tensor there");
      }
      if (tensor.owner() != StreamBackend.this) {
        throw new IllegalArgumentException(tensor + " is another backend's; expected one of this"
            + " backend, whose stream knows when it is written");
      }
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
          new CudaTensor(StreamBackend.this, memory.allocate(bytes), false, dtype, shape);
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
      long pointer = memory.allocate(bytes);
      scratch.push(pointer);
      return pointer;
    }

    /** An event that measures time, until the end of this call. */
    long timer() {
      long event = driver.createEvent(true);
      end.push(() -> driver.destroyEvent(event));
      return event;
    }

    /** Waits until the device has come to here. */
    void await() {
      driver.synchronize(stream);
    }

    /** Marks the call as done, what it has made as the caller's. */
    <R> R done(R result) {
      freeScratch();
      made.clear();
      return result;
    }

    private void freeScratch() {
      while (!scratch.isEmpty()) {
        memory.free(scratch.peek());
        scratch.pop();
      }
    }

    @Override
    public void close() {
      made.forEach(tensor -> end.push(tensor::close));
      end.push(this::freeScratch);
      try {
        end.close();
      } finally {
        lock.unlock();
      }
    }
  }
}
