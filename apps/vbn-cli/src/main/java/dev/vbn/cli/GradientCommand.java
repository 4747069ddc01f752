package dev.vbn.cli;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.state.Npy;
import dev.vbn.state.StagedFiles.StagedFile;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Gradients of the normalised live batch. */
@Command(
    name = "gradient",
    description = {
      "Gradients of the normalised live batch.",
      "Writes dx.npy, dgamma.npy, dbeta.npy and, when attached, dreference.npy."
    })
@SuppressWarnings("NullAway.Init") // picocli sets them
final class GradientCommand implements Callable<Integer> {
  @Spec
  private CommandSpec spec;

  @Mixin
  private LayerOptions layerOptions;

  @Mixin
  private BackendOption backendOption;

  @Option(
      names = "--upstream",
      paramLabel = "DY.npy",
      required = true,
      description = "Gradient with respect to the output, of the shape of X.npy.")
  private Path upstream;

  @Option(
      names = "--output-dir",
      paramLabel = "DIR",
      required = true,
      description = "Directory that takes the gradients; made if it is missing.")
  private Path outputDirectory;

  @Option(
      names = "--reference-gradient",
      paramLabel = "MODE",
      defaultValue = "detached",
      description =
          "detached (default): reference statistics are constants. attached: gradients flow into"
              + " the reference batch, which --reference has to give.")
  private ReferenceGradient referenceGradient;

  /** The files to write. */
  private record Targets(
      StagedFile dx,
      StagedFile dgamma,
      StagedFile dbeta,
      @Nullable StagedFile dreference) {}

  @Override
  public Integer call() throws IOException {
    boolean attached = referenceGradient == ReferenceGradient.ATTACHED;
    if (attached && !layerOptions.hasReferenceBatch()) {
      throw new BadInputException("--reference-gradient attached is given without --reference;"
          + " expected the reference batch itself, not its statistics alone");
    }
    try (StagedOutputs outputs = new StagedOutputs();
        Progress progress = new Progress(spec.commandLine().getErr())) {
      outputs.makeDirectory("--output-dir", outputDirectory);
      Targets targets = new Targets(
          stage(outputs, "dx.npy"),
          stage(outputs, "dgamma.npy"),
          stage(outputs, "dbeta.npy"),
          attached ? stage(outputs, "dreference.npy") : null);
      LayerInputs inputs = layerOptions.read(progress);
      progress.show("reading " + upstream);
      HostTensor dy = LayerOptions.read("--upstream", upstream);
      differentiate(inputs, dy, targets, progress);
      outputs.commit();
    }
    return 0;
  }

  private StagedFile stage(StagedOutputs outputs, String name) {
    return outputs.stage("--output-dir", outputDirectory.resolve(name));
  }

  private void differentiate(
      LayerInputs inputs, HostTensor upstreamRead, Targets targets, Progress progress)
      throws IOException {
    HostTensor r = inputs.reference();
    HostTensor dy = LayerOptions.as(inputs.x().dtype(), upstreamRead);
    try (VbnBackend<HostTensor> backend = backendOption.open();
        VirtualBatchNorm<HostTensor> layer = inputs.open(
            backend, inputs.layer().config().withReferenceGradient(referenceGradient))) {
      VirtualBatchNorm<HostTensor> live = inputs.forInput(layer);
      progress.show("statistics of the reference batch");
      try (ReferenceStatistics<HostTensor> reference = inputs.statistics(layer)) {
        layerOptions.warnUnlessFinite(reference.moments(), progress);
        progress.show("gradients of the live batch " + inputs.x());
        try (Gradients<HostTensor> gradients = LayerOptions.accepted(
            "--input and --upstream: ", () -> live.backward(inputs.x(), reference, dy))) {
          if (targets.dreference != null && r != null) {
            try (Output<HostTensor> dr =
                inputs.forReference(layer).referenceGradient(r, reference, gradients)) {
              targets.dreference.write(out -> Npy.write(out, dr.output()));
            }
          }
          progress.show("writing");
          targets.dx.write(out -> Npy.write(out, gradients.dx()));
          targets.dgamma.write(out -> Npy.write(out, gradients.dgamma()));
          targets.dbeta.write(out -> Npy.write(out, gradients.dbeta()));
        }
      }
    }
  }
}
