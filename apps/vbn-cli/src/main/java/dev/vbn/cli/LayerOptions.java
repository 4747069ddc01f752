package dev.vbn.cli;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.state.Npy;
import dev.vbn.state.NpyException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The batches, the parameters and the settings of the layer. */
@SuppressWarnings("NullAway.Init") // picocli sets the required ones
final class LayerOptions {
  @Option(
      names = "--reference",
      paramLabel = "R.npy",
      required = true,
      description = "Reference batch: rank 2 to 5, examples along axis 0.")
  private Path reference;

  @Option(
      names = "--input",
      paramLabel = "X.npy",
      required = true,
      description = "Live batch; its positions may differ from the reference batch's.")
  private Path input;

  @Option(
      names = "--variant",
      paramLabel = "VARIANT",
      defaultValue = "live-batch",
      description =
          "live-batch (default), batch, per-example, pooled or reference-only: what live statistics"
              + " are mixed in, and with what weight.")
  private Variant variant;

  @Option(
      names = "--feature-axis",
      paramLabel = "AXIS",
      defaultValue = "1",
      description = "Axis of the features; negative counts from the end. Default: 1.")
  private int featureAxis;

  @Option(
      names = "--epsilon",
      paramLabel = "E",
      defaultValue = "1e-5",
      description = "Added to the variance inside the root. Default: 1e-5.")
  private double epsilon;

  @Option(
      names = "--gamma",
      paramLabel = "G.npy",
      description = "Scale of each feature. Default: ones.")
  private @Nullable Path gamma;

  @Option(
      names = "--beta",
      paramLabel = "B.npy",
      description = "Offset of each feature. Default: zeros.")
  private @Nullable Path beta;

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      description =
          "float32 or float64: the type to compute in and to write. Default: that of X.npy if it is"
              + " float64, else float32.")
  private @Nullable DType dtype;

  /** Reads the files. The settings are checked first, since that costs nothing. */
  LayerInputs read(Progress progress) {
    VbnConfig settings = accepted(
        "",
        () ->
            VbnConfig.of(1).withVariant(variant).withFeatureAxis(featureAxis).withEpsilon(epsilon));
    progress.show("reading " + reference);
    HostTensor r = read("--reference", reference);
    Geometry geometry =
        accepted("--reference " + reference + ": ", () -> Geometry.of(r.shape(), featureAxis));
    progress.show("reading " + input);
    HostTensor x = read("--input", input);
    accepted("--input " + input + ": ", () -> Geometry.of(x.shape(), featureAxis));
    DType type = dtype != null ? dtype : x.dtype();
    VbnConfig config = new VbnConfig(
        Math.toIntExact(geometry.features()),
        settings.epsilon(),
        settings.featureAxis(),
        settings.variant(),
        settings.referenceGradient());
    return new LayerInputs(
        config,
        as(type, r),
        as(type, x),
        gamma == null ? null : as(type, read("--gamma", gamma)),
        beta == null ? null : as(type, read("--beta", beta)));
  }

  /** The tensor in a type; a copy only where it has another. */
  static HostTensor as(DType type, HostTensor tensor) {
    return tensor.dtype() == type ? tensor : tensor.to(type);
  }

  /** Says how many features the reference batch makes NaN, if it makes any so. */
  void warnUnlessFinite(ReferenceMoments moments, Progress progress) {
    int nonFinite = moments.nonFiniteFeatures();
    if (nonFinite > 0) {
      progress.warn("--reference " + reference + ": mean or variance is NaN or infinite in "
          + nonFinite + " of " + moments.features() + " features; expected finite numbers");
    }
  }

  /** Reads an array that an option names. */
  static HostTensor read(String option, Path file) {
    if (!Files.exists(file)) {
      throw new BadInputException(option + " " + file + ": no such file; expected a .npy file");
    }
    if (Files.isDirectory(file)) {
      throw new BadInputException(option + " " + file + ": is a directory; expected a .npy file");
    }
    try {
      return Npy.read(file);
    } catch (NpyException e) {
      throw new BadInputException(option + " " + e.getMessage(), e); // which names the file
    } catch (IOException e) {
      throw new BadInputException(
          option + " " + file + ": cannot be read (" + e.getClass().getSimpleName()
              + "); expected a readable .npy file",
          e);
    }
  }

  /** What {@code check} yields; its refusal is bad input. */
  static <R> R accepted(String prefix, Supplier<R> check) {
    try {
      return check.get();
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      throw new BadInputException(prefix + e.getMessage(), e);
    }
  }
}
