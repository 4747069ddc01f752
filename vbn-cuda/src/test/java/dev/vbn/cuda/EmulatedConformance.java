package dev.vbn.cuda;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/**
 * The whole kit on the emulated driver, with and without memory pools, by one plan or another, the
 * threads of each launch in one of many orders: a missing barrier may be seen in one and not in
 * another.
 */
abstract class EmulatedConformance extends VbnConformance {
  private static final String GIVEN_PLAN = System.getProperty(Emulator.PLAN_PROPERTY);

  private final long seed;
  private final boolean pools;
  private final String plan;

  /**
   * On a device with or without pools.
   *
   * @param seed of the order, unless {@code vbn.test.emulator.seed} is another
   * @param plan of {@code vbn.cuda.plan}, unless that is another
   */
  EmulatedConformance(long seed, boolean pools, String plan) {
    this.seed = Long.getLong("vbn.test.emulator.seed", seed);
    this.pools = pools;
    this.plan = plan;
    Emulator.install();
  }

  /** Not where there is no emulator: the kit then says so. */
  @BeforeAll
  final void setUp() {
    if (new CudaProvider().probe().available()) {
      Emulator.Controls controls = Emulator.controls();
      controls.seed(seed);
      controls.pools(pools);
      if (System.getProperty(Emulator.PLAN_PROPERTY, plan).equals("together")) {
        controls.device(8, 20 << 10); // of which most groups take several blocks
      }
    }
    if (GIVEN_PLAN == null) {
      System.setProperty(Emulator.PLAN_PROPERTY, plan);
    }
  }

  @AfterAll
  final void leaveThePlan() {
    if (GIVEN_PLAN == null) {
      System.clearProperty(Emulator.PLAN_PROPERTY);
    }
  }

  @Override
  protected VbnProvider<?> provider() {
    return new CudaProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
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

  /** The caller's memory, at each distance from the next 16 bytes that elements can have. */
  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    return List.of(
        wrapped(backend, host, dtype, 0),
        wrapped(backend, host, dtype, 1),
        wrapped(backend, host, dtype, 2));
  }

  /** Tensors are dense, and so have parts along their first axis only. */
  @Override
  protected List<?> parts(VbnBackend<?> backend, HostTensor host, DType dtype, int axis) {
    if (axis > 0) {
      return List.of();
    }
    long[] shape = host.shape();
    shape[0]--;
    long example = host.size() / host.shape()[0] * CudaTensor.elementBytes(dtype);
    CudaTensor whole = memory(backend, host, dtype);
    CudaBackend own = backend.unwrap(CudaBackend.class);
    return List.of(
        own.wrap(whole.pointer(), dtype, shape), own.wrap(whole.pointer() + example, dtype, shape));
  }

  private static CudaTensor wrapped(
      VbnBackend<?> backend, HostTensor host, DType dtype, int skipped) {
    double[] longer = new double[skipped + host.size()];
    System.arraycopy(host.toDoubles(), 0, longer, skipped, host.size());
    CudaTensor memory = memory(backend, HostTensor.of(longer, longer.length), dtype);
    return backend
        .unwrap(CudaBackend.class)
        .wrap(
            memory.pointer() + (long) skipped * CudaTensor.elementBytes(dtype),
            dtype,
            host.shape());
  }

  /** Freed with the backend, and not counted: what the kit releases is a tensor over a part. */
  private static CudaTensor memory(VbnBackend<?> backend, HostTensor host, DType dtype) {
    return (CudaTensor) backend.unwrap(Kernels.class).tensors().fromHost(host, dtype);
  }
}
