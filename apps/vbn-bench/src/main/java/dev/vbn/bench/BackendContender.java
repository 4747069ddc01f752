package dev.vbn.bench;

import dev.vbn.BackendCandidate;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A backend behind the API, as every user calls it. */
final class BackendContender implements Contender {
  private final BackendCandidate candidate;
  private final boolean outputGiven;

  private BackendContender(BackendCandidate candidate, boolean outputGiven) {
    this.candidate = candidate;
    this.outputGiven = outputGiven;
  }

  /** A new tensor takes each result. */
  static BackendContender of(BackendCandidate candidate) {
    return new BackendContender(candidate, false);
  }

  /** Tensors of the caller's take the output and dx, the same ones in every call. */
  static BackendContender withOutputGiven(BackendCandidate candidate) {
    return new BackendContender(candidate, true);
  }

  @Override
  public String name() {
    return outputGiven ? candidate.name() + ", output given" : candidate.name();
  }

  @Override
  public Kind kind() {
    return Kind.BACKEND;
  }

  @Override
  public Availability probe() {
    return candidate.availability();
  }

  @Override
  public Optional<Prepared> prepare(Workload workload, Pass pass) {
    return prepare(candidate.open(), workload, pass);
  }

  private <T> Optional<Prepared> prepare(VbnBackend<T> backend, Workload workload, Pass pass) {
    Set<Capability> lacking = EnumSet.noneOf(Capability.class);
    if (workload.x().dtype() == DType.FLOAT64) {
      lacking.add(Capability.FLOAT64);
    }
    if (workload.mask() != null) {
      lacking.add(Capability.MASK);
    }
    if (outputGiven) {
      lacking.add(Capability.CALLER_SUPPLIED_OUTPUT);
    }
    lacking.removeAll(backend.capabilities());
    if (!lacking.isEmpty()) {
      backend.close();
      return Optional.empty();
    }
    return Optional.of(new Layer<>(backend, workload, pass, outputGiven));
  }

  private static final class Layer<T> implements Prepared {
    private final VbnBackend<T> backend;
    private final Pass pass;
    private final T x;
    private final T gamma;
    private final T beta;
    private final T upstream;
    private final @Nullable T output;
    private final @Nullable T dx;
    private final VirtualBatchNorm<T> layer;
    private final ReferenceStatistics<T> statistics;

    Layer(VbnBackend<T> backend, Workload workload, Pass pass, boolean outputGiven) {
      this.backend = backend;
      this.pass = pass;
      x = backend.fromHost(workload.x());
      gamma = backend.fromHost(workload.gamma());
      beta = backend.fromHost(workload.beta());
      upstream = pass == Pass.FORWARD ? x : backend.fromHost(workload.upstream());
      output = outputGiven && pass != Pass.BACKWARD ? backend.fromHost(workload.x()) : null;
      dx = outputGiven && pass != Pass.FORWARD ? backend.fromHost(workload.x()) : null;
      VirtualBatchNorm<T> whole =
          VirtualBatchNorm.of(backend, workload.config()).withGamma(gamma).withBeta(beta);
      layer = whole.withMask(workload.mask());
      T reference = backend.fromHost(workload.reference());
      statistics = whole.referenceStatistics(reference);
      backend.release(reference);
    }

    @Override
    public Object run() {
      Object last = backend;
      if (pass != Pass.BACKWARD) {
        try (Output<T> live = forward()) {
          last = live;
        }
      }
      if (pass != Pass.FORWARD) {
        try (Gradients<T> gradients = backward()) {
          last = gradients;
        }
      }
      return last;
    }

    private Output<T> forward() {
      return output == null
          ? layer.forward(x, statistics)
          : layer.forwardInto(output, x, statistics);
    }

    private Gradients<T> backward() {
      return dx == null
          ? layer.backward(x, statistics, upstream)
          : layer.backwardInto(dx, x, statistics, upstream);
    }

    @Override
    public List<HostTensor> results() {
      List<HostTensor> results = new ArrayList<>();
      if (pass != Pass.BACKWARD) {
        try (Output<T> live = forward()) {
          results.add(backend.toHost(live.output()));
        }
      }
      if (pass != Pass.FORWARD) {
        try (Gradients<T> gradients = backward()) {
          results.add(backend.toHost(gradients.dx()));
          results.add(backend.toHost(gradients.dgamma()));
          results.add(backend.toHost(gradients.dbeta()));
        }
      }
      return results;
    }

    @Override
    @SuppressWarnings("ReferenceEquality") // the very tensor is meant
    public void close() {
      statistics.close();
      layer.close();
      if (output != null) {
        backend.release(output);
      }
      if (dx != null) {
        backend.release(dx);
      }
      if (upstream != x) {
        backend.release(upstream);
      }
      backend.release(beta);
      backend.release(gamma);
      backend.release(x);
      backend.close();
    }
  }
}
