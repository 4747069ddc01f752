package dev.vbn.bench;

import dev.vbn.BackendCandidate;
import dev.vbn.Gradients;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Moments;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
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
    if (outputGiven && !backend.capabilities().contains(Capability.CALLER_SUPPLIED_OUTPUT)) {
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
      x = backend.fromHost(workload.x(), DType.FLOAT32);
      gamma = backend.fromHost(workload.gamma(), DType.FLOAT32);
      beta = backend.fromHost(workload.beta(), DType.FLOAT32);
      upstream = pass == Pass.FORWARD ? x : backend.fromHost(workload.upstream(), DType.FLOAT32);
      output = outputGiven && pass != Pass.BACKWARD
          ? backend.fromHost(workload.x(), DType.FLOAT32)
          : null;
      dx = outputGiven && pass != Pass.FORWARD
          ? backend.fromHost(workload.x(), DType.FLOAT32)
          : null;
      layer = VirtualBatchNorm.of(backend, workload.config(), gamma, beta);
      T reference = backend.fromHost(workload.reference(), DType.FLOAT32);
      statistics = layer.referenceStatistics(reference);
      backend.release(reference);
    }

    @Override
    @SuppressWarnings("ReferenceEquality") // the very tensor is meant
    public Object run() {
      List<T> results = compute();
      for (T result : results) {
        if (result != output && result != dx) {
          backend.release(result);
        }
      }
      return results;
    }

    /** What {@link Pass#results} names, and then what else there is to release. */
    private List<T> compute() {
      return switch (pass) {
        case FORWARD -> {
          LiveOutput<T> live = forward();
          Moments<T> moments = live.statistics().moments();
          yield List.of(live.output(), moments.mean(), moments.variance());
        }
        case BACKWARD -> {
          Gradients<T> gradients = backward();
          yield List.of(gradients.input(), gradients.gamma(), gradients.beta());
        }
        case STEP -> {
          LiveOutput<T> live = forward();
          Moments<T> moments = live.statistics().moments();
          Gradients<T> gradients = backward();
          yield List.of(
              live.output(),
              gradients.input(),
              gradients.gamma(),
              gradients.beta(),
              moments.mean(),
              moments.variance());
        }
      };
    }

    private LiveOutput<T> forward() {
      return output == null ? layer.forward(x, statistics) : layer.forward(x, statistics, output);
    }

    private Gradients<T> backward() {
      return dx == null
          ? layer.backward(x, statistics, upstream)
          : layer.backward(x, statistics, upstream, dx);
    }

    @Override
    public List<HostTensor> results() {
      List<HostTensor> results = new ArrayList<>();
      for (T tensor : compute().subList(0, pass.results().size())) {
        results.add(backend.toHost(tensor));
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
