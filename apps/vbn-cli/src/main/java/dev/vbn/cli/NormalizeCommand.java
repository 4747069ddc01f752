package dev.vbn.cli;

import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.state.LayerState;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Npy;
import dev.vbn.state.StagedFiles.StagedFile;
import dev.vbn.state.TensorFileType;
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
      description =
          "Takes the reference batch, normalised by its own statistics; wants --reference.")
  private @Nullable Path referenceOutput;

  @Option(
      names = "--statistics",
      paramLabel = "S.npz",
      description =
          "Takes mean, variance and mean_square as they were mixed for the live batch, and the state"
              + " of the layer without gamma and beta, for --state of a later run. Its format is"
              + " that of its ending, .npz or .safetensors.")
  private @Nullable Path statistics;

  @Option(
      names = "--save-state",
      paramLabel = "FILE",
      description =
          "Takes the state of the layer, with the statistics of the reference batch, for --state of"
              + " a later run on any backend. Its format is that of its ending, .npz or"
              + " .safetensors.")
  private @Nullable Path saveState;

  /** The files to write. */
  private record Targets(
      StagedFile y,
      @Nullable StagedFile referenceY,
      @Nullable TensorTarget statistics,
      @Nullable TensorTarget state) {}

  /** A file to write in the format that its name asks for. */
  private record TensorTarget(StagedFile file, TensorFileType type) {
    static @Nullable TensorTarget stage(StagedOutputs outputs, String option, @Nullable Path file) {
      if (file == null) {
        return null;
      }
      TensorFileType type = LayerOptions.accepted(option + ": ", () -> TensorFileType.of(file));
      return new TensorTarget(outputs.stage(option, file), type);
    }

    void write(NamedTensors content) throws IOException {
      file.write(out -> type.write(out, content));
    }
  }

  @Override
  public Integer call() throws IOException {
    try (StagedOutputs outputs = new StagedOutputs();
        Progress progress = new Progress(spec.commandLine().getErr())) {
      Targets targets = new Targets(
          outputs.stage("--output", output),
          referenceOutput == null ? null : outputs.stage("--reference-output", referenceOutput),
          TensorTarget.stage(outputs, "--statistics", statistics),
          TensorTarget.stage(outputs, "--save-state", saveState));
      if (targets.referenceY != null && !layerOptions.hasReferenceBatch()) {
        throw new BadInputException("--reference-output is given without --reference; expected the"
            + " reference batch itself, not its statistics alone");
      }
      LayerInputs inputs = layerOptions.read(progress);
      if (saveState != null) {
        inputs.requirePlain("--save-state");
      }
      normalize(inputs, targets, progress);
      outputs.commit();
    }
    return 0;
  }

  private void normalize(LayerInputs inputs, Targets targets, Progress progress)
      throws IOException {
    try (VbnBackend<HostTensor> backend = backendOption.open();
        VirtualBatchNorm<HostTensor> layer = inputs.open(backend, inputs.layer().config())) {
      VirtualBatchNorm<HostTensor> live = inputs.forInput(layer);
      progress.show("statistics of the reference batch");
      try (ReferenceStatistics<HostTensor> reference = reference(layer, inputs, targets)) {
        LayerState state = inputs.with(reference.moments());
        layerOptions.warnUnlessFinite(reference.moments(), progress);
        progress.show("normalising the live batch " + inputs.x());
        try (Output<HostTensor> normalized =
            LayerOptions.accepted("--input: ", () -> live.forward(inputs.x(), reference))) {
          progress.show("writing");
          targets.y.write(out -> Npy.write(out, normalized.output()));
        }
        if (targets.state != null) {
          targets.state.write(state.content());
        }
        if (targets.statistics != null) {
          MixedStatistics mixed = LayerOptions.accepted(
              "--statistics: ", () -> live.mixedStatistics(inputs.x(), reference));
          targets.statistics.write(statistics(mixed, state));
        }
      }
    }
  }

  /** The mixed statistics in front of the layer's state without gamma and beta. */
  private static NamedTensors statistics(MixedStatistics mixed, LayerState state) {
    NamedTensors rest = new LayerState(state.config(), null, null, state.reference()).content();
    Map<String, HostTensor> arrays = new LinkedHashMap<>();
    arrays.put("mean", mixed.mean());
    arrays.put("variance", mixed.variance());
    arrays.put("mean_square", mixed.meanSquare());
    arrays.putAll(rest.tensors());
    return new NamedTensors(arrays, rest.texts());
  }

  /** The statistics of the reference batch; writes its output too, where that is wanted. */
  private static ReferenceStatistics<HostTensor> reference(
      VirtualBatchNorm<HostTensor> layer, LayerInputs inputs, Targets targets) throws IOException {
    HostTensor batch = inputs.reference();
    if (targets.referenceY == null || batch == null) {
      return inputs.statistics(layer);
    }
    try (ReferenceOutput<HostTensor> pass =
        LayerOptions.accepted("--reference: ", () -> inputs.forReference(layer).reference(batch))) {
      targets.referenceY.write(out -> Npy.write(out, pass.output()));
      return pass.takeStatistics();
    }
  }
}
