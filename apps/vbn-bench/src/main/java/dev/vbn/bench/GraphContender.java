package dev.vbn.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.vbn.BackendCandidate;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;

/** A backend on DJL's arrays, recorded in the graph of libtorch and differentiated there. */
final class GraphContender extends LibtorchContender {
  private final BackendCandidate candidate;

  GraphContender(BackendCandidate candidate) {
    super(candidate.name() + ", in the graph", Kind.BACKEND, true);
    this.candidate = candidate;
  }

  /** Whether a backend computes on DJL's arrays. */
  static boolean fits(BackendCandidate candidate) {
    return TensorType.of(NDArray.class).equals(candidate.tensorType());
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

  /** As it is: the weight depends on its examples. */
  @Override
  NDArray batch(HostTensor batch, int featureAxis, NDManager manager) {
    return copyOf(batch, manager, batch.shape());
  }

  @Override
  Form form(Workload workload, NDManager manager) {
    @SuppressWarnings("unchecked") // fits() has looked
    VbnBackend<NDArray> backend = (VbnBackend<NDArray>) candidate.open();
    VirtualBatchNorm<NDArray> layer = VirtualBatchNorm.of(backend, workload.config());
    try (NDArray reference =
        batch(workload.reference(), workload.config().featureAxis(), manager)) {
      return new Layer(layer, layer.referenceStatistics(reference));
    }
  }

  private record Layer(VirtualBatchNorm<NDArray> layer, ReferenceStatistics<NDArray> statistics)
      implements Form {
    @Override
    public NDArray forward(NDArray x, NDArray gamma, NDArray beta) {
      // The graph still needs the output, which belongs to the manager of x.
      return layer.withGamma(gamma).withBeta(beta).forward(x, statistics).takeOutput();
    }

    @Override
    public void close() {
      statistics.close();
      layer.close();
      layer.backend().close();
    }
  }
}
