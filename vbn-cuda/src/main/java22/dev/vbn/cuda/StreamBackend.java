package dev.vbn.cuda;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Counted;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The kernels on one stream of one device. */
final class StreamBackend implements Kernels<CudaTensor>, CudaBackend {
  /**
   * Up to this weight the mixed mean is no further from the reference mean than from the live one.
   * Gradients are summed around the nearer: its distance from the mixed mean is then at most one
   * mixed deviation, for s*s is at least w*(1-w)*d*d, and so costs the sums no digits.
   */
  private static final double NEARER_THE_REFERENCE = 0.5;

  // CUpointer_attribute
  private static final int MEMORY_TYPE = 2;
  private static final int IS_MANAGED = 8;
  private static final int DEVICE_ORDINAL = 9;

  private static final int TYPE_DEVICE = 2; // CU_MEMORYTYPE_DEVICE
  private static final int INVALID_VALUE = 1; // CUDA_ERROR_INVALID_VALUE

  private final DeviceStream stream;
  private final KernelModule kernels;
  private final Plan plan;
  private final Staging staging;
  private final CudaTensors tensors;
  private final String description;

  private StreamBackend(
      DeviceStream stream, KernelModule kernels, Plan plan, Staging staging, String description) {
    this.stream = stream;
    this.kernels = kernels;
    this.plan = plan;
    this.staging = staging;
    tensors = new CudaTensors(stream, staging);
    this.description = description;
  }

  /**
   * Opens the backend; what a failure leaves open is closed again.
   *
   * @param device handle of the device
   * @param given the caller's stream; null for a new one
   * @param description of the device, in words
   */
  static StreamBackend open(
      CudaDriver driver, int ordinal, int device, @Nullable Long given, String description) {
    Plan plan = Plan.chosen();
    return DeviceStream.open(driver, ordinal, device, given, (stream, resources) -> {
      KernelModule kernels = KernelModule.load(driver, device, stream.handle());
      resources.push(kernels::close);
      Staging staging = new Staging(driver, stream.handle());
      resources.push(staging::close);
      return new StreamBackend(stream, kernels, plan, staging, description);
    });
  }

  @Override
  public TensorAccess<CudaTensor> tensors() {
    return tensors;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.FLOAT16,
        Capability.BFLOAT16,
        Capability.CALLER_SUPPLIED_OUTPUT,
        Capability.SUBNORMALS,
        Capability.MASK,
        Capability.DOUBLE_BACKWARD,
        Capability.CONDITIONAL);
  }

  @Override
  public String description() {
    return description;
  }

  @Override
  public int device() {
    return stream.device();
  }

  @Override
  public long stream() {
    return stream.handle();
  }

  @Override
  public CudaTensor allocate(DType dtype, long... shape) {
    try (DeviceStream.Call call = stream.call()) {
      return call.done(call.tensor(dtype, shape));
    }
  }

  @Override
  public CudaTensor wrap(long pointer, DType dtype, long... shape) {
    try (DeviceStream.Call call = stream.call()) {
      CudaTensor tensor = new CudaTensor(stream, pointer, true, dtype, shape);
      int elementBytes = CudaTensor.elementBytes(dtype);
      if (pointer % elementBytes != 0) {
        throw new IllegalArgumentException("pointer is 0x" + Long.toHexString(pointer)
            + "; expected a multiple of " + elementBytes + ", the bytes of a " + dtype);
      }
      if (tensor.size() > 0) {
        requireHere(pointer);
        requireHere(pointer + tensor.bytes() - 1);
      }
      return call.done(tensor);
    }
  }

  /** Refuses an address that is not one of memory of this device. */
  private void requireHere(long pointer) {
    CudaDriver driver = stream.driver();
    String what;
    try {
      int device = driver.pointerAttribute(pointer, DEVICE_ORDINAL);
      if (driver.pointerAttribute(pointer, IS_MANAGED) != 0) {
        what = "managed memory, which the host has too";
      } else if (driver.pointerAttribute(pointer, MEMORY_TYPE) != TYPE_DEVICE) {
        what = "pinned memory of the host";
      } else if (device != device()) {
        what = "memory of device " + device;
      } else {
        return;
      }
    } catch (CudaException e) {
      if (e.code() != INVALID_VALUE) {
        throw e;
      }
      what = "no memory that the driver knows";
    }
    throw new IllegalArgumentException("pointer 0x" + Long.toHexString(pointer) + " is " + what
        + "; expected memory of device " + device());
  }

  @Override
  public void synchronize() {
    try (DeviceStream.Call call = stream.call()) {
      call.await();
    }
  }

  @Override
  public void trim() {
    try (DeviceStream.Call call = stream.call()) {
      call.trim();
    }
  }

  /** @param attribute a {@code CUdevice_attribute} of this device */
  int attribute(int attribute) {
    CudaDriver driver = stream.driver();
    return driver.attribute(driver.device(device()), attribute);
  }

  /** Copies all bytes of one tensor to another of as many. */
  void copy(CudaTensor from, CudaTensor to) {
    try (DeviceStream.Call call = stream.call()) {
      stream
          .driver()
          .copyOnDevice(call.pointer(from), call.pointer(to), from.bytes(), stream.handle());
    }
  }

  /** Waits for what {@code work} asks of the device, and says how long that took. */
  float milliseconds(Runnable work) {
    CudaDriver driver = stream.driver();
    try (DeviceStream.Call call = stream.call()) {
      long start = call.timer();
      long end = call.timer();
      driver.record(start, stream.handle());
      work.run();
      driver.record(end, stream.handle());
      driver.awaitEvent(end);
      return driver.milliseconds(start, end);
    }
  }

  /** The kernels on a batch; they read only what counts. */
  private BatchKernels kernelsOn(
      DeviceStream.Call call, DType dtype, Geometry geometry, Scope scope, long... tensors) {
    BatchKernels batch = new BatchKernels(kernels, plan, dtype, geometry, scope, tensors);
    Counted counted = geometry.counted();
    if (counted == null) {
      return batch;
    }
    Counted.Lengths lengths = counted.lengths();
    long mask = call.scratch(batch.maskBytes());
    if (lengths == null) {
      byte[] positions = counted.positions();
      staging.toDevice(
          (start, count, to) -> MemorySegment.copy(positions, start, to, JAVA_BYTE, 0, count),
          positions.length,
          Byte.BYTES,
          batch.positionsOf(mask));
      batch.mask(mask, 0, null);
    } else {
      long[] ofExample = lengths.ofExample();
      long onDevice = call.scratch((long) ofExample.length * Long.BYTES);
      staging.toDevice(
          (start, count, to) -> MemorySegment.copy(ofExample, start, to, JAVA_LONG, 0, count),
          ofExample.length,
          Long.BYTES,
          onDevice);
      batch.mask(mask, onDevice, lengths);
    }
    return batch;
  }

  @Override
  public Moments<CudaTensor> statistics(CudaTensor x, Geometry geometry, Scope scope) {
    try (DeviceStream.Call call = stream.call()) {
      long from = call.pointer(x);
      BatchKernels batch = kernelsOn(call, x.dtype(), geometry, scope, from);
      long features = geometry.features();
      Moments<CudaTensor> moments = scope == Scope.EXAMPLE
          ? call.moments(geometry.batch(), features)
          : call.moments(features);
      batch.forward(
          call,
          from,
          0,
          BatchKernels.ForwardMix.ofStatistics(at(moments.mean()), at(moments.variance())));
      return call.done(moments);
    }
  }

  @Override
  public Normalized<CudaTensor> reference(
      CudaTensor x, Normalization how, @Nullable CudaTensor gamma, @Nullable CudaTensor beta) {
    try (DeviceStream.Call call = stream.call()) {
      CudaTensor output = call.tensor(x.dtype(), x.shape());
      Moments<CudaTensor> moments = call.moments(how.geometry().features());
      normalize(call, x, how, null, gamma, beta, moments, output);
      return call.done(new Normalized<>(output, moments));
    }
  }

  @Override
  public CudaTensor forward(
      CudaTensor x,
      Normalization how,
      Moments<CudaTensor> reference,
      @Nullable CudaTensor gamma,
      @Nullable CudaTensor beta,
      @Nullable CudaTensor output) {
    try (DeviceStream.Call call = stream.call()) {
      CudaTensor result = output == null ? call.tensor(x.dtype(), x.shape()) : output;
      normalize(call, x, how, reference, gamma, beta, null, result);
      return call.done(result);
    }
  }

  /** @param mixed takes the mixed statistics; null where nobody reads them */
  private void normalize(
      DeviceStream.Call call,
      CudaTensor x,
      Normalization how,
      @Nullable Moments<CudaTensor> reference,
      @Nullable CudaTensor gamma,
      @Nullable CudaTensor beta,
      @Nullable Moments<CudaTensor> mixed,
      CudaTensor output) {
    long from = call.pointer(x);
    long to = call.pointer(output);
    BatchKernels batch = kernelsOn(call, x.dtype(), how.geometry(), how.scope(), from, to);
    batch.forward(
        call,
        from,
        to,
        new BatchKernels.ForwardMix(
            reference == null ? 0 : call.pointer(reference.mean()),
            reference == null ? 0 : call.pointer(reference.variance()),
            call.pointerOrNull(gamma),
            call.pointerOrNull(beta),
            mixed == null ? 0 : at(mixed.mean()),
            mixed == null ? 0 : at(mixed.variance()),
            how.weight(),
            how.epsilon()));
  }

  private static long at(CudaTensor made) {
    return made.address();
  }

  @Override
  public Differentiated<CudaTensor> backward(
      CudaTensor x,
      CudaTensor upstream,
      Normalization how,
      Moments<CudaTensor> reference,
      @Nullable CudaTensor gamma,
      @Nullable CudaTensor dx) {
    long features = how.geometry().features();
    try (DeviceStream.Call call = stream.call()) {
      long from = call.pointer(x);
      long dy = call.pointer(upstream);
      long referenceMean = call.pointer(reference.mean());
      DType parameters = x.dtype().parameterType();
      CudaTensor result = dx == null ? call.tensor(x.dtype(), x.shape()) : dx;
      long to = call.pointer(result);
      CudaTensor dgamma = call.tensor(parameters, features);
      CudaTensor dbeta = call.tensor(parameters, features);
      Moments<CudaTensor> toReference =
          how.referenceGradient() == ReferenceGradient.ATTACHED ? call.moments(features) : null;
      BatchKernels batch = kernelsOn(call, x.dtype(), how.geometry(), how.scope(), from, dy, to);
      batch.backward(
          call,
          from,
          dy,
          to,
          new BatchKernels.BackwardMix(
              centers(how, referenceMean),
              referenceMean,
              call.pointer(reference.variance()),
              call.pointerOrNull(gamma),
              at(dgamma),
              at(dbeta),
              toReference == null ? 0 : at(toReference.mean()),
              toReference == null ? 0 : at(toReference.variance()),
              how.weight(),
              how.epsilon()));
      return call.done(new Differentiated<>(result, dgamma, dbeta, toReference));
    }
  }

  /** What gradients are summed around: 0 for the live means. */
  private static long centers(Normalization how, long referenceMean) {
    return how.weight() <= NEARER_THE_REFERENCE ? referenceMean : 0;
  }

  @Override
  public TwiceDifferentiated<CudaTensor> doubleBackward(
      CudaTensor x,
      CudaTensor upstream,
      GradientUpstream<CudaTensor> second,
      Normalization how,
      Moments<CudaTensor> reference,
      @Nullable CudaTensor gamma) {
    long features = how.geometry().features();
    try (DeviceStream.Call call = stream.call()) {
      long from = call.pointer(x);
      long dy = call.pointer(upstream);
      long v = call.pointer(second.dx());
      CudaTensor ofX = call.tensor(x.dtype(), x.shape());
      CudaTensor ofUpstream = call.tensor(x.dtype(), x.shape());
      DType parameters = x.dtype().parameterType();
      CudaTensor ofGamma = call.tensor(parameters, features);
      BatchKernels batch = kernelsOn(call, x.dtype(), how.geometry(), how.scope(), from, dy, v);
      long statisticBytes = how.groups() * features * Double.BYTES;
      long mean = call.scratch(3 * statisticBytes + batch.gradientsBytes());
      long variance = mean + statisticBytes;
      long unused = variance + statisticBytes; // where vbn_sum_groups puts what it has for beta
      long gradients = unused + statisticBytes;
      batch.forward(
          call,
          from,
          0,
          new BatchKernels.ForwardMix(
              call.pointer(reference.mean()),
              call.pointer(reference.variance()),
              0,
              0,
              mean,
              variance,
              how.weight(),
              how.epsilon()));
      batch.differentiateTwice(
          from,
          dy,
          v,
          mean,
          variance,
          call.pointerOrNull(gamma),
          call.pointerOrNull(second.dgamma()),
          call.pointerOrNull(second.dbeta()),
          at(ofX),
          at(ofUpstream),
          gradients,
          how.weight(),
          how.epsilon());
      batch.sumGroups(gradients, at(ofGamma), unused, 0, 0);
      return call.done(new TwiceDifferentiated<>(ofX, ofUpstream, ofGamma));
    }
  }

  @Override
  public CudaTensor referenceGradient(
      CudaTensor r,
      Geometry geometry,
      Moments<CudaTensor> statistics,
      Moments<CudaTensor> gradient,
      long elements) {
    try (DeviceStream.Call call = stream.call()) {
      long from = call.pointer(r);
      long mean = call.pointer(statistics.mean());
      long dMean = call.pointer(gradient.mean());
      long dVariance = call.pointer(gradient.variance());
      CudaTensor dr = call.tensor(r.dtype(), r.shape());
      BatchKernels batch = kernelsOn(call, r.dtype(), geometry, Scope.NONE, from, at(dr));
      long lines = call.scratch(batch.linesBytes());
      batch.referenceLines(mean, dMean, dVariance, lines, elements);
      batch.normalize(from, at(dr), lines);
      return call.done(dr);
    }
  }

  @Override
  public GroupSums sums(
      CudaTensor x, CudaTensor upstream, Normalization how, Moments<CudaTensor> reference) {
    Geometry geometry = how.geometry();
    int features = (int) geometry.features();
    CudaTensor gradients;
    try (DeviceStream.Call call = stream.call()) {
      long from = call.pointer(x);
      long dy = call.pointer(upstream);
      long referenceMean = call.pointer(reference.mean());
      BatchKernels batch = kernelsOn(call, x.dtype(), geometry, how.scope(), from, dy);
      gradients = call.tensor(DType.FLOAT64, batch.gradientsBytes() / Double.BYTES);
      batch.groupGradients(
          call,
          from,
          dy,
          at(gradients),
          new BatchKernels.BackwardMix(
              centers(how, referenceMean),
              referenceMean,
              call.pointer(reference.variance()),
              0,
              0,
              0,
              0,
              0,
              how.weight(),
              how.epsilon()));
      call.done(gradients);
    }
    double[] numbers;
    try {
      numbers = tensors.toHost(gradients).doubles();
    } finally {
      gradients.close();
    }
    int each = numbers.length / features / (int) how.groups();
    double[] a = new double[numbers.length / each];
    double[] b = new double[a.length];
    for (int i = 0; i < a.length; i++) {
      if (how.elementsPerGroup(i / features) > 0) {
        b[i] = numbers[i * each];
        a[i] = numbers[i * each + 1];
      }
    }
    return new GroupSums(a, b);
  }

  @Override
  public CudaTensor write(
      CudaTensor x,
      @Nullable CudaTensor upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable CudaTensor output) {
    double[] slope = lines.slope();
    int groups = lines.factor().length;
    double[] numbers = new double[4 * groups];
    for (int i = 0; i < groups; i++) {
      boolean ofX = upstream == null || slope != null;
      numbers[i] = ofX ? lines.center()[i] : 0;
      // The kernel subtracts the line of x from factor*dy.
      numbers[groups + i] = upstream == null || slope == null ? lines.factor()[i] : -slope[i];
      numbers[2 * groups + i] =
          upstream == null || slope == null ? lines.offset()[i] : -lines.offset()[i];
      numbers[3 * groups + i] = lines.factor()[i];
    }
    try (DeviceStream.Call call = stream.call()) {
      long from = call.pointer(x);
      long dy = upstream == null ? 0 : call.pointer(upstream);
      CudaTensor result = output == null ? call.tensor(x.dtype(), x.shape()) : output;
      long to = call.pointer(result);
      BatchKernels batch = dy == 0
          ? kernelsOn(call, x.dtype(), geometry, scope, from, to)
          : kernelsOn(call, x.dtype(), geometry, scope, from, dy, to);
      long onDevice = call.scratch(batch.lineNumbersBytes() + batch.linesBytes());
      long made = onDevice + batch.lineNumbersBytes();
      staging.toDevice(
          (start, count, into) -> MemorySegment.copy(numbers, start, into, JAVA_DOUBLE, 0, count),
          numbers.length,
          Double.BYTES,
          onDevice);
      batch.lines(onDevice, made);
      if (dy == 0) {
        batch.normalize(from, to, made);
      } else if (slope == null) {
        batch.normalize(dy, to, made);
      } else {
        batch.differentiate(from, dy, to, made);
      }
      return call.done(result);
    }
  }

  @Override
  public void close() {
    stream.close();
  }
}
