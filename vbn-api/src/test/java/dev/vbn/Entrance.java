package dev.vbn;

import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Every way to give a batch to a layer, with the name that messages give it. */
enum Entrance {
  REFERENCE("reference batch", "reference") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.reference(x);
    }
  },
  STATISTICS("reference batch", "statistics") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.referenceStatistics(x);
    }
  },
  CHUNKS("reference batch", "statistics") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.referenceStatistics(Arrays.asList(x));
    }
  },
  FORWARD("x", "forward") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.forward(x, others.reference());
    }
  },
  FORWARD_INTO("x", "forward") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.forwardInto(others.output(), x, others.reference());
    }
  },
  MIXED_STATISTICS("x", "statistics") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.mixedStatistics(x, others.reference());
      return () -> {}; // on the host, with nothing to free
    }
  },
  BACKWARD("x", "backward") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.backward(x, others.reference(), others.upstream());
    }
  },
  BACKWARD_INTO("x", "backward") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.backwardInto(others.output(), x, others.reference(), others.upstream());
    }
  },
  DOUBLE_BACKWARD("x", "doubleBackward") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer
          .withReferenceGradient(ReferenceGradient.DETACHED)
          .doubleBackward(
              x, others.reference(), others.upstream(), GradientUpstream.ofDx(others.upstream()));
    }
  },
  SHARED_FORWARD("x", "write") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.forward(x, others.reference(), Others.LIVE);
    }
  },
  GRADIENT_SUMS("x", "sums") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.gradientSums(x, others.reference(), Others.LIVE, others.upstream());
      return () -> {}; // on the host, with nothing to free
    }
  },
  SHARED_BACKWARD("x", "write") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      GradientSums sums = new GradientSums(new double[3], new double[3]);
      return layer.backward(x, others.reference(), Others.LIVE, others.upstream(), sums);
    }
  },
  REFERENCE_BACKWARD("reference batch", "backward") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.referenceBackward(x, others.reference(), others.upstream());
    }
  },
  REFERENCE_GRADIENT("reference batch", "referenceGradient") {
    @Override
    AutoCloseable give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      return layer.referenceGradient(x, others.reference(), others.gradients());
    }
  };

  /** What messages call the batch. */
  final String batch;

  /** The kernel that it reaches. */
  final String kernel;

  Entrance(String batch, String kernel) {
    this.batch = batch;
    this.kernel = kernel;
  }

  abstract AutoCloseable give(
      VirtualBatchNorm<HostTensor> layer, @Nullable HostTensor x, Others others);

  /** The other arguments, without fault where the batch has shape [2, 3]. All are the caller's. */
  record Others(
      @Nullable ReferenceStatistics<HostTensor> reference,
      HostTensor upstream,
      HostTensor output,
      Gradients<HostTensor> gradients) {
    static final ReferenceMoments LIVE = ReferenceMoments.of(new double[3], new double[3], 2, 2);

    static Others of(VbnBackend<HostTensor> backend) {
      return with(
          backend, ReferenceStatistics.wrap(backend, zeros(backend, 3), zeros(backend, 3), 2, 2));
    }

    static Others with(
        VbnBackend<HostTensor> backend, @Nullable ReferenceStatistics<HostTensor> reference) {
      return new Others(reference, batch(), batch(), gradients(backend));
    }

    static Gradients<HostTensor> gradients(VbnBackend<HostTensor> backend) {
      HostTensor parameter = HostTensor.zeros(DType.FLOAT32, 3);
      return new Gradients<>(
          backend,
          Part.supplied(backend, "dx", batch()),
          parameter,
          parameter,
          new Moments<>(zeros(backend, 3), zeros(backend, 3)));
    }

    private static HostTensor batch() {
      return HostTensor.zeros(DType.FLOAT32, 2, 3);
    }

    private static HostTensor zeros(VbnBackend<HostTensor> backend, long... shape) {
      return HostTensor.zeros(backend.statisticsType(), shape);
    }
  }
}
