package dev.vbn;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Every way to give a batch to a layer, with the name that messages give it. */
enum Entrance {
  REFERENCE("reference batch") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.reference(x);
    }
  },
  STATISTICS("reference batch") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.referenceStatistics(x);
    }
  },
  CHUNKS("reference batch") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.referenceStatistics(Arrays.asList(x));
    }
  },
  FORWARD("x") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.forward(x, others.reference());
    }
  },
  FORWARD_INTO("x") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.forward(x, others.reference(), others.like());
    }
  },
  BACKWARD("x") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.backward(x, others.reference(), others.like());
    }
  },
  BACKWARD_INTO("x") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.backward(x, others.reference(), others.like(), others.like());
    }
  },
  REFERENCE_BACKWARD("reference batch") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      layer.referenceBackward(x, others.reference(), others.like());
    }
  },
  REFERENCE_GRADIENT("reference batch") {
    @Override
    void give(VirtualBatchNorm<HostTensor> layer, HostTensor x, Others others) {
      HostTensor like = others.like();
      layer.referenceGradient(
          x,
          others.reference(),
          new Gradients<>(like, like, like, others.reference().moments()));
    }
  };

  final String batch;

  Entrance(String batch) {
    this.batch = batch;
  }

  abstract void give(VirtualBatchNorm<HostTensor> layer, @Nullable HostTensor x, Others others);

  /** The other arguments, without fault where the batch has shape [2, 3]. */
  record Others(ReferenceStatistics<HostTensor> reference, HostTensor like) {
    static Others of(RecordingBackend backend) {
      return new Others(
          ReferenceStatistics.of(
              backend, DType.FLOAT32, new double[3], new double[] {1, 1, 1}, 2, 2),
          HostTensor.zeros(DType.FLOAT32, 2, 3));
    }
  }
}
