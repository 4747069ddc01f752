package dev.vbn.cli;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.state.LayerState;
import dev.vbn.state.Npy;
import dev.vbn.state.NpyException;
import dev.vbn.state.NpyMask;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The batches, the parameters and the settings of the layer. */
@SuppressWarnings("NullAway.Init") // picocli sets the required ones
final class LayerOptions {
  private static final String REFERENCE = "--reference";

  @Option(
      names = REFERENCE,
      paramLabel = "R.npy",
      description =
          "Reference batch: rank 2 to 5, examples along --batch-axis. Required, unless --state has its"
              + " statistics.")
  private @Nullable Path reference;

  @Mixin
  private StateOptions state;

  @Option(
      names = "--input",
      paramLabel = "X.npy",
      required = true,
      description = "Live batch; its positions may differ from the reference batch's.")
  private Path input;

  @Option(
      names = "--mask",
      paramLabel = "M.npy",
      description =
          "What counts of the live batch: bool or uint8, of the shape of X.npy without the feature"
              + " axis. Where nothing counts, the batch has no effect, and what is written is 0.")
  private @Nullable Path mask;

  @Option(
      names = "--lengths",
      paramLabel = "L.npy",
      description =
          "In place of --mask: how many positions of each example count, along the first axis of"
              + " positions; int32 or int64.")
  private @Nullable Path lengths;

  @Option(
      names = "--reference-mask",
      paramLabel = "RM.npy",
      description = "As --mask, of the reference batch.")
  private @Nullable Path referenceMask;

  @Option(
      names = "--reference-lengths",
      paramLabel = "RL.npy",
      description = "As --lengths, of the reference batch.")
  private @Nullable Path referenceLengths;

  @Option(
      names = "--variant",
      paramLabel = "VARIANT",
      description =
          "live-batch, batch, per-example, pooled or reference-only: what live statistics are mixed"
              + " in, and with what weight. Default: what --state says, or else live-batch.")
  private @Nullable Variant variant;

  @Option(
      names = "--feature-axis",
      paramLabel = "AXIS",
      description =
          "Axis of the features; negative counts from the end. Default: what --state says, or else"
              + " 1.")
  private @Nullable Integer featureAxis;

  @Option(
      names = "--last-feature-axis",
      paramLabel = "AXIS",
      description =
          "Last of several neighbouring feature axes, of which --feature-axis is the first. Default:"
              + " what --state says, or else one axis.")
  private @Nullable Integer lastFeatureAxis;

  @Option(
      names = "--batch-axis",
      paramLabel = "AXIS",
      description =
          "Axis of the examples; negative counts from the end. Default: what --state says, or else"
              + " 0.")
  private @Nullable Integer batchAxis;

  @Option(
      names = "--epsilon",
      paramLabel = "E",
      description =
          "Added to the variance inside the root. Default: what --state says, or else 1e-5.")
  private @Nullable Double epsilon;

  @Option(
      names = "--gamma",
      paramLabel = "G.npy",
      description =
          "Scale of each feature, or of each feature of each example. Default: that of --state, or"
              + " else ones.")
  private @Nullable Path gamma;

  @Option(
      names = "--beta",
      paramLabel = "B.npy",
      description =
          "Offset of each feature, or of each feature of each example. Default: that of --state, or"
              + " else zeros.")
  private @Nullable Path beta;

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      description =
          "float32 or float64: the type to compute in and to write. Default: that of X.npy if it is"
              + " float64, else float32.")
  private @Nullable DType dtype;

  /** Whether the reference batch itself is given, and not its statistics alone. */
  boolean hasReferenceBatch() {
    return reference != null;
  }

  /** Reads the files. The settings are checked first, since that costs nothing. */
  LayerInputs read(Progress progress) {
    accepted("", () -> set(VbnConfig.of(1)));
    if (reference == null && state.file() == null) {
      throw new BadInputException("neither " + REFERENCE + " nor " + StateOptions.OPTION
          + " is given; expected one that tells the statistics of a reference batch");
    }
    progress.show("reading " + state.file());
    LayerState loaded = state.read(variant);
    if (loaded != null) {
      refuseSecond(REFERENCE, reference, loaded.reference(), "statistics of a reference batch");
      refuseSecond("--gamma", gamma, loaded.gamma(), "a gamma");
      refuseSecond("--beta", beta, loaded.beta(), "a beta");
      if (reference == null && loaded.reference() == null) {
        throw new BadInputException(state.given()
            + ": has no statistics of a reference batch; expected " + REFERENCE + " R.npy with it");
      }
    }
    VbnConfig axes = set(loaded == null ? VbnConfig.of(1) : loaded.config());
    HostTensor r = reference == null ? null : readBatch(REFERENCE, reference, axes, progress);
    HostTensor x = readBatch("--input", input, axes, progress);
    DType type = dtype != null ? dtype : x.dtype();
    HostTensor givenGamma = gamma == null ? null : read("--gamma", gamma);
    HostTensor givenBeta = beta == null ? null : read("--beta", beta);
    LayerState bare = loaded == null
        ? new LayerState(
            VbnConfig.of(axes.featuresOf(requireNonNull(r).shape(), null)), null, null, null)
        : loaded;
    LayerState layer = accepted(
        loaded == null ? "" : state.given() + ": ",
        () -> new LayerState(
            set(bare.config()),
            isPerFeature(givenGamma, bare) ? givenGamma : bare.gamma(),
            isPerFeature(givenBeta, bare) ? givenBeta : bare.beta(),
            bare.reference()));
    return new LayerInputs(
        layer,
        isPerFeature(givenGamma, bare) ? null : givenGamma,
        isPerFeature(givenBeta, bare) ? null : givenBeta,
        r == null ? null : as(type, r),
        as(type, x),
        readMask("--reference-", referenceMask, referenceLengths, REFERENCE, r, axes),
        readMask("--", mask, lengths, "--input", x, axes));
  }

  /** Whether a state has a place for a parameter; for others the layer says what is right. */
  private static boolean isPerFeature(@Nullable HostTensor parameter, LayerState layer) {
    return parameter != null
        && Arrays.equals(parameter.shape(), new long[] {layer.config().features()});
  }

  /** The mask of a batch, from either of the options that begin with {@code prefix}. */
  private static @Nullable Mask readMask(
      String prefix,
      @Nullable Path positions,
      @Nullable Path ofLengths,
      String batchOption,
      @Nullable HostTensor batch,
      VbnConfig axes) {
    if (positions != null && ofLengths != null) {
      throw new BadInputException(prefix + "lengths " + ofLengths + ": " + prefix + "mask "
          + positions + " is given too; expected one of them");
    }
    Path file = positions != null ? positions : ofLengths;
    if (file == null) {
      return null;
    }
    String option = prefix + (positions != null ? "mask" : "lengths");
    if (batch == null) {
      throw new BadInputException(
          option + " " + file + ": given without " + batchOption + "; expected the batch itself");
    }
    Mask read = read(option, file, positions != null ? NpyMask::read : NpyMask::readLengths);
    accepted(option + " " + file + ": ", () -> axes.featuresOf(batch.shape(), read));
    return read;
  }

  private void refuseSecond(
      String option, @Nullable Path given, @Nullable Object inState, String what) {
    if (given != null && inState != null) {
      throw new BadInputException(option + " " + given + ": " + state.given() + " has " + what
          + " too; expected it in one place");
    }
  }

  private static HostTensor readBatch(String option, Path file, VbnConfig axes, Progress progress) {
    progress.show("reading " + file);
    HostTensor batch = read(option, file);
    accepted(option + " " + file + ": ", () -> axes.featuresOf(batch.shape(), null));
    return batch;
  }

  /** The settings, changed by those that options give. */
  private VbnConfig set(VbnConfig config) {
    VbnConfig set = variant == null ? config : config.withVariant(variant);
    int first = featureAxis == null ? set.featureAxis() : featureAxis;
    set = new VbnConfig(
        set.features(),
        set.epsilon(),
        batchAxis == null ? set.batchAxis() : batchAxis,
        first,
        lastFeatureAxis != null
            ? lastFeatureAxis
            : featureAxis != null ? first : set.lastFeatureAxis(),
        set.variant(),
        set.referenceGradient());
    return epsilon == null ? set : set.withEpsilon(epsilon);
  }

  /** The tensor in a type; a copy only where it has another. */
  static HostTensor as(DType type, HostTensor tensor) {
    return tensor.dtype() == type ? tensor : tensor.to(type);
  }

  /** Says for how many features the statistics are not finite, if there are any. */
  void warnUnlessFinite(ReferenceMoments moments, Progress progress) {
    int nonFinite = moments.nonFiniteFeatures();
    if (nonFinite > 0) {
      progress.warn((reference == null ? state.given() : REFERENCE + " " + reference)
          + ": mean or variance is NaN or infinite in " + nonFinite + " of " + moments.features()
          + " features; expected finite numbers");
    }
  }

  /** Reads an array that an option names. */
  static HostTensor read(String option, Path file) {
    return read(option, file, Npy::read);
  }

  /** Reads a file. */
  private interface Reading<R> {
    R of(Path file) throws IOException;
  }

  private static <R> R read(String option, Path file, Reading<R> reading) {
    if (!Files.exists(file)) {
      throw new BadInputException(option + " " + file + ": no such file; expected a .npy file");
    }
    if (Files.isDirectory(file)) {
      throw new BadInputException(option + " " + file + ": is a directory; expected a .npy file");
    }
    try {
      return reading.of(file);
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
    } catch (IllegalArgumentException | IllegalStateException | UnsupportedOperationException e) {
      throw new BadInputException(prefix + e.getMessage(), e);
    }
  }
}
