package dev.vbn.cli;

import dev.vbn.LiveOutput;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.VbnBackend;
import dev.vbn.state.Npy;
import dev.vbn.state.Npz;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Normalises a live batch with the statistics of a reference batch. */
@Command(
    name = "normalize",
    description = "Normalises a live batch with the statistics of a reference batch.")
@SuppressWarnings("NullAway.Init") // picocli sets them
final class NormalizeCommand implements Callable<Integer> {
  @Spec
  private CommandSpec spec;

  @Mixin
  private LayerOptions layerOptions;

  @Mixin
  private BackendOption backendOption;

  @Option(
      names = "--output",
      paramLabel = "Y.npy",
      required = true,
      description = "Takes the normalised live batch.")
  private Path output;

  @Option(
      names = "--reference-output",
      paramLabel = "RY.npy",
      description = "Takes the reference batch, normalised by its own statistics.")
  private @Nullable Path referenceOutput;

  @Option(
      names = "--statistics",
      paramLabel = "S.npz",
      description =
          "Takes mean, variance and mean_square as they were mixed for the live batch, and"
              + " reference_mean and reference_variance.")
  private @Nullable Path statistics;

  /** The files to write. */
  private record Targets(
      Path y, @Nullable Path referenceY, @Nullable Path statistics) {}

  @Override
  public Integer call() throws IOException {
    try (StagedOutputs outputs = new StagedOutputs();
        Progress progress = new Progress(spec.commandLine().getErr())) {
      Targets targets = new Targets(
          outputs.stage("--output", output),
          referenceOutput == null ? null : outputs.stage("--reference-output", referenceOutput),
          statistics == null ? null : outputs.stage("--statistics", statistics));
      LayerInputs inputs = layerOptions.read(progress);
      normalize(backendOption.open(), inputs, targets, progress);
      outputs.commit();
    }
    return 0;
  }

  private static <T> void normalize(
      VbnBackend<T> opened, LayerInputs inputs, Targets targets, Progress progress)
      throws IOException {
    try (VbnBackend<T> backend = opened;
        TensorScope<T> scope = new TensorScope<>(backend);
        VirtualBatchNorm<T> layer = inputs.layer(backend, inputs.config(), scope)) {
      progress.show("normalising the reference batch " + inputs.reference());
      T r = scope.add(backend.fromHost(inputs.reference(), inputs.dtype()));
      try (ReferenceStatistics<T> reference = reference(backend, layer, r, targets, scope)) {
        progress.show("normalising the live batch " + inputs.x());
        T x = scope.add(backend.fromHost(inputs.x(), inputs.dtype()));
        LiveOutput<T> live = LayerOptions.accepted("--input: ", () -> layer.forward(x, reference));
        scope.add(live.output());
        scope.add(live.statistics().moments());
        progress.show("writing");
        Npy.write(targets.y, backend.toHost(live.output()));
        if (targets.statistics != null) {
          Map<String, HostTensor> arrays = new LinkedHashMap<>();
          arrays.put("mean", live.statistics().mean());
          arrays.put("variance", live.statistics().variance());
          arrays.put("mean_square", live.statistics().meanSquare());
          arrays.put("reference_mean", vector(reference.mean()));
          arrays.put("reference_variance", vector(reference.variance()));
          Npz.write(targets.statistics, arrays);
        }
      }
    }
  }

  /** The statistics of the reference batch; its output too, and written, where it is wanted. */
  private static <T> ReferenceStatistics<T> reference(
      VbnBackend<T> backend, VirtualBatchNorm<T> layer, T r, Targets targets, TensorScope<T> scope)
      throws IOException {
    if (targets.referenceY == null) {
      return LayerOptions.accepted("--reference: ", () -> layer.referenceStatistics(r));
    }
    ReferenceOutput<T> pass = LayerOptions.accepted("--reference: ", () -> layer.reference(r));
    Npy.write(targets.referenceY, backend.toHost(scope.add(pass.output())));
    return pass.statistics();
  }

  private static HostTensor vector(double[] values) {
    return HostTensor.of(values, values.length);
  }
}
