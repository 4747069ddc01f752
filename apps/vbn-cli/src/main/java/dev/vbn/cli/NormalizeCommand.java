package dev.vbn.cli;

import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.cli.StagedOutputs.StagedFile;
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
      StagedFile y,
      @Nullable StagedFile referenceY,
      @Nullable StagedFile statistics) {}

  @Override
  public Integer call() throws IOException {
    try (StagedOutputs outputs = new StagedOutputs();
        Progress progress = new Progress(spec.commandLine().getErr())) {
      Targets targets = new Targets(
          outputs.stage("--output", output),
          referenceOutput == null ? null : outputs.stage("--reference-output", referenceOutput),
          statistics == null ? null : outputs.stage("--statistics", statistics));
      LayerInputs inputs = layerOptions.read(progress);
      normalize(inputs, targets, progress);
      outputs.commit();
    }
    return 0;
  }

  private void normalize(LayerInputs inputs, Targets targets, Progress progress)
      throws IOException {
    try (VbnBackend<HostTensor> backend = backendOption.open();
        VirtualBatchNorm<HostTensor> layer = inputs.layer(backend, inputs.config())) {
      progress.show("normalising the reference batch " + inputs.reference());
      try (ReferenceStatistics<HostTensor> reference = reference(layer, inputs, targets)) {
        ReferenceMoments moments = reference.moments();
        layerOptions.warnUnlessFinite(moments, progress);
        progress.show("normalising the live batch " + inputs.x());
        try (Output<HostTensor> live =
            LayerOptions.accepted("--input: ", () -> layer.forward(inputs.x(), reference))) {
          progress.show("writing");
          targets.y.write(file -> Npy.write(file, live.output()));
        }
        if (targets.statistics != null) {
          MixedStatistics mixed = layer.mixedStatistics(inputs.x(), reference);
          Map<String, HostTensor> arrays = new LinkedHashMap<>();
          arrays.put("mean", mixed.mean());
          arrays.put("variance", mixed.variance());
          arrays.put("mean_square", mixed.meanSquare());
          arrays.put("reference_mean", vector(moments.mean()));
          arrays.put("reference_variance", vector(moments.variance()));
          targets.statistics.write(file -> Npz.write(file, arrays));
        }
      }
    }
  }

  /** The statistics of the reference batch; its output too, and written, where it is wanted. */
  private static ReferenceStatistics<HostTensor> reference(
      VirtualBatchNorm<HostTensor> layer, LayerInputs inputs, Targets targets) throws IOException {
    if (targets.referenceY == null) {
      return LayerOptions.accepted(
          "--reference: ", () -> layer.referenceStatistics(inputs.reference()));
    }
    try (ReferenceOutput<HostTensor> pass =
        LayerOptions.accepted("--reference: ", () -> layer.reference(inputs.reference()))) {
      targets.referenceY.write(file -> Npy.write(file, pass.output()));
      return pass.takeStatistics();
    }
  }

  private static HostTensor vector(double[] values) {
    return HostTensor.of(values, values.length);
  }
}
