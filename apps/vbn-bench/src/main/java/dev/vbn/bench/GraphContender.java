package dev.vbn.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.vbn.BackendCandidate;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;

/** A backend on DJL's arrays, recorded in the graph of libtorch and differentiated there. */
final class GraphContender extends LibtorchContender {
  private final BackendCandidate candidate;

  GraphContender(BackendCandidate candidate) {
    super(candidate.name() + ", in the graph", Kind.BACKEND, true);
    this.candidate = candidate;
  }

  /** Whether a backend computes on DJL's arrays. */
  static boolean fits(BackendCandidate candidate) {
    return candidate.tensorType() == NDArray.class;
  }

  @Override
  public Availability probe() {
    Availability libtorch = super.probe();
    return libtorch.available() ? candidate.availability() : libtorch;
  }

  @Override
  boolean computes(Variant variant) {
    return true;
  }

  @Override
  Form form(Workload workload, NDManager manager) {
    @SuppressWarnings("unchecked") // fits() has looked
    VbnBackend<NDArray> backend = (VbnBackend<NDArray>) candidate.open();
    try (NDArray reference = copyOf(workload.reference(), manager);
        VirtualBatchNorm<NDArray> layer = VirtualBatchNorm.of(
            backend,
            workload.config(),
            copyOf(workload.gamma(), manager, workload.gamma().size()),
            copyOf(workload.beta(), manager, workload.beta().size()))) {
      return new Layer(backend, workload, layer.referenceStatistics(reference));
    }
  }

  private record Layer(
      VbnBackend<NDArray> backend, Workload workload, ReferenceStatistics<NDArray> statistics)
      implements Form {
    @Override
    public NDArray forward(NDArray x, NDArray gamma, NDArray beta) {
      return VirtualBatchNorm.of(backend, workload.config(), gamma, beta)
          .forward(x, statistics)
          .output();
    }

    @Override
    public void close() {
      statistics.close();
      backend.close();
    }
  }
}
