package com.example;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

final class Main {
  private Main() {}

  public static void main(String[] args) {
    VbnConfig config = VbnConfig.of(2).withVariant(Variant.PER_EXAMPLE);
    HostTensor reference = HostTensor.of(new float[] {1, 10, 3, 30}, 2, 2);
    HostTensor live = HostTensor.of(new float[] {5, 20}, 1, 2);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open("reference", HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
        ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(reference);
        Output<HostTensor> y = layer.forward(live, statistics)) {
      System.out.println("computed " + Arrays.toString(y.output().floats()));
    }
    VbnBackends.find()
        .list()
        .forEach(candidate -> System.out.println("backend " + candidate.name()));
  }
}
