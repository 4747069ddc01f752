package dev.vbn.cli;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.state.Npy;
import dev.vbn.state.StagedFiles.StagedFile;
import dev.vbn.tensor.DType;
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
      "Writes dx.npy, dgamma.npy, dbeta.npy and, when attached, dreference.npy.",
      "With --dx-upstream also the gradients of sum(dx*V) + sum(dgamma*VG) + sum(dbeta*VB):"
          + " x_gradient.npy, dy_gradient.npy, gamma_gradient.npy."
    })
@SuppressWarnings("NullAway.Init") // picocli sets them
final class GradientCommand implements Callable<Integer> {
  private static final String DX_UPSTREAM = "--dx-upstream";
  private static final String DGAMMA_UPSTREAM = "--dgamma-upstream";
  private static final String DBETA_UPSTREAM = "--dbeta-upstream";

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
              + " the reference batch, which --reference has to give. all-detached: the live"
              + " statistics are constants too.")
  private ReferenceGradient referenceGradient;

  @Option(
      names = DX_UPSTREAM,
      paramLabel = "V.npy",
      description = "Gradient with respect to dx, of the shape of X.npy: asks for second gradients,"
          + " with the reference statistics as constants.")
  private @Nullable Path dxUpstream;

  @Option(
      names = DGAMMA_UPSTREAM,
      paramLabel = "VG.npy",
      description = "Gradient with respect to dgamma. Default: zeros.")
  private @Nullable Path dgammaUpstream;

  @Option(
      names = DBETA_UPSTREAM,
      paramLabel = "VB.npy",
      description = "Gradient with respect to dbeta. Default: zeros.")
  private @Nullable Path dbetaUpstream;

  /** The files of second gradients. */
  private record SecondTargets(StagedFile x, StagedFile dy, StagedFile gamma) {}

  /** The files to write. */
  private record Targets(
      StagedFile dx,
      StagedFile dgamma,
      StagedFile dbeta,
      @Nullable StagedFile dreference,
      @Nullable SecondTargets second) {}

  @Override
  public Integer call() throws IOException {
    boolean attached = referenceGradient == ReferenceGradient.ATTACHED;
    if (attached && !layerOptions.hasReferenceBatch()) {
      throw new BadInputException("--reference-gradient attached is given without --reference;"
          + " expected the reference batch itself, not its statistics alone");
    }
    requireSecond();
    try (StagedOutputs outputs = new StagedOutputs();
        Progress progress = new Progress(spec.commandLine().getErr())) {
      outputs.makeDirectory("--output-dir", outputDirectory);
      Targets targets = new Targets(
          stage(outputs, "dx.npy"),
          stage(outputs, "dgamma.npy"),
          stage(outputs, "dbeta.npy"),
          attached ? stage(outputs, "dreference.npy") : null,
          dxUpstream == null
              ? null
              : new SecondTargets(
                  stage(outputs, "x_gradient.npy"),
                  stage(outputs, "dy_gradient.npy"),
                  stage(outputs, "gamma_gradient.npy")));
      LayerInputs inputs = layerOptions.read(progress);
      if (dxUpstream != null) {
        inputs.requirePlain(DX_UPSTREAM);
      }
      progress.show("reading " + upstream);
      HostTensor dy = LayerOptions.read("--upstream", upstream);
      GradientUpstream<HostTensor> second = readSecond(inputs.x().dtype(), progress);
      differentiate(inputs, dy, second, targets, progress);
      outputs.commit();
    }
    return 0;
  }

  /** Refuses options that do not go together, before anything is read. */
  private void requireSecond() {
    if (dxUpstream == null && (dgammaUpstream != null || dbetaUpstream != null)) {
      throw new BadInputException((dgammaUpstream != null ? DGAMMA_UPSTREAM : DBETA_UPSTREAM)
          + " is given without " + DX_UPSTREAM + "; expected both, or " + DX_UPSTREAM + " alone");
    }
    if (dxUpstream != null && referenceGradient != ReferenceGradient.DETACHED) {
      throw new BadInputException(DX_UPSTREAM + " is given with --reference-gradient "
          + Main.lowerCase(referenceGradient) + ";"
          + " expected detached: second gradients have the reference as a constant");
    }
  }

  private @Nullable GradientUpstream<HostTensor> readSecond(DType dtype, Progress progress) {
    if (dxUpstream == null) {
      return null;
    }
    progress.show("reading " + dxUpstream);
    GradientUpstream<HostTensor> second =
        GradientUpstream.ofDx(LayerOptions.as(dtype, LayerOptions.read(DX_UPSTREAM, dxUpstream)));
    if (dgammaUpstream != null) {
      second = second.withDgamma(
          LayerOptions.as(dtype, LayerOptions.read(DGAMMA_UPSTREAM, dgammaUpstream)));
    }
    return dbetaUpstream == null
        ? second
        : second.withDbeta(
            LayerOptions.as(dtype, LayerOptions.read(DBETA_UPSTREAM, dbetaUpstream)));
  }

  private StagedFile stage(StagedOutputs outputs, String name) {
    return outputs.stage("--output-dir", outputDirectory.resolve(name));
  }

  private void differentiate(
      LayerInputs inputs,
      HostTensor upstreamRead,
      @Nullable GradientUpstream<HostTensor> second,
      Targets targets,
      Progress progress)
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
        if (second != null && targets.second != null) {
          progress.show("second gradients of the live batch " + inputs.x());
          try (SecondGradients<HostTensor> gradients = LayerOptions.accepted(
              "--input, --upstream and " + DX_UPSTREAM + ": ",
              () -> live.doubleBackward(inputs.x(), reference, dy, second))) {
            targets.second.x.write(out -> Npy.write(out, gradients.x()));
            targets.second.dy.write(out -> Npy.write(out, gradients.upstream()));
            targets.second.gamma.write(out -> Npy.write(out, gradients.gamma()));
          }
        }
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
