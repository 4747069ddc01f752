package dev.vbn.state;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The whole state of a layer, independent of any backend: saved from one and loaded on another with
 * the same bits.
 *
 * <p>{@link #save} writes {@code .safetensors} or {@code .npz}, by the file's ending; {@link #load}
 * reads both, whoever wrote them, and state dicts of PyTorch: see {@link StateNames}. A file from
 * elsewhere may lack what VBN writes: then the layer has no gamma or beta, no reference, and the
 * defaults of {@link VbnConfig}. Gamma, beta and statistics may have axes of length 1 around that
 * of the features.
 *
 * @param config configuration of the layer
 * @param gamma scale, shape {@code [features]} or another that the configuration allows; null for a
 *     layer without
 * @param beta offset, likewise
 * @param reference statistics of the reference batch; null where there are none yet. A file from
 *     elsewhere may lack its counts: they are then unknown and not saved, and a variant whose
 *     weight depends on them is refused
 */
public record LayerState(
    VbnConfig config,
    @Nullable HostTensor gamma,
    @Nullable HostTensor beta,
    @Nullable ReferenceMoments reference) {

  /** What a file written here says, with the version of its names. */
  private static final String FORMAT = "vbn";

  private static final String FORMAT_VERSION = "1";

  /**
   * Checks that all have the same number of features, and that the weight of live statistics is
   * known.
   *
   * @throws IllegalArgumentException if either does not hold
   */
  public LayerState {
    requireNonNull(config, "config is null; expected a VbnConfig");
    if (gamma != null) {
      config.requireParameterShape("gamma", gamma.shape());
    }
    if (beta != null) {
      config.requireParameterShape("beta", beta.shape());
    }
    if (reference != null && reference.features() != config.features()) {
      throw new IllegalArgumentException(
          "reference is of " + reference.features() + " features; expected " + config.features());
    }
    if (reference != null) {
      Variant variant = config.variant();
      boolean known = variant.needsElements()
          ? reference.knowsElements()
          : !variant.needsExamples() || reference.knowsExamples();
      if (!known) {
        throw new IllegalArgumentException("no "
            + (reference.knowsExamples() ? "reference_elements" : "reference_examples")
            + "; expected it for variant " + variant.label());
      }
    }
  }

  /** The state of a layer and of its reference batch. */
  public static <T> LayerState of(VirtualBatchNorm<T> layer, ReferenceStatistics<T> reference) {
    requireNonNull(layer, "layer is null; expected one to save");
    requireNonNull(reference, "reference is null; expected the statistics of a reference batch");
    return new LayerState(
        layer.config(),
        toHost(layer.backend(), layer.gamma()),
        toHost(layer.backend(), layer.beta()),
        reference.moments());
  }

  private static <T> @Nullable HostTensor toHost(VbnBackend<T> backend, @Nullable T tensor) {
    return tensor == null ? null : backend.toHost(tensor);
  }

  /** The layer on a backend. It frees its parameters when it is closed. */
  public <T> VirtualBatchNorm<T> layer(VbnBackend<T> backend) {
    VirtualBatchNorm<T> layer = VirtualBatchNorm.of(backend, config);
    try {
      if (gamma != null) {
        layer.setGamma(gamma);
      }
      if (beta != null) {
        layer.setBeta(beta);
      }
    } catch (RuntimeException e) {
      layer.close();
      throw e;
    }
    return layer;
  }

  /**
   * The statistics of the reference batch on a backend.
   *
   * @throws IllegalStateException if there are none
   */
  public <T> ReferenceStatistics<T> statistics(VbnBackend<T> backend) {
    if (reference == null) {
      throw new IllegalStateException(
          "the state has no reference statistics; expected them to be set before");
    }
    return ReferenceStatistics.of(backend, reference);
  }

  /**
   * A copy with another {@link #config()}.
   *
   * @throws IllegalArgumentException if it has a different number of features, or a variant whose
   *     weight depends on unknown counts
   */
  public LayerState withConfig(VbnConfig config) {
    return new LayerState(config, gamma, beta, reference);
  }

  /** A copy with another {@link #reference()}. */
  public LayerState withReference(ReferenceMoments reference) {
    return new LayerState(config, gamma, beta, reference);
  }

  /**
   * Writes a file, or replaces it when all is written.
   *
   * @param file ending in {@code .safetensors} or {@code .npz}
   * @throws IllegalArgumentException if it ends otherwise
   * @throws IOException if it cannot be written; what was there before is still there
   */
  public void save(Path file) throws IOException {
    save(file, Map.of("", this));
  }

  /**
   * Writes the layers of a network into one file, each after its prefix.
   *
   * @param layers by prefix, such as {@code vbn1.}
   */
  public static void save(Path file, Map<String, LayerState> layers) throws IOException {
    TensorFileType type = TensorFileType.of(file);
    NamedTensors content = content(layers);
    StagedFiles.write(file, out -> type.write(out, content));
  }

  /** What {@link #save} writes, for a file that holds more than this. */
  public NamedTensors content() {
    return content(Map.of("", this));
  }

  private static NamedTensors content(Map<String, LayerState> layers) {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    Map<String, String> texts = new LinkedHashMap<>();
    texts.put(FORMAT, FORMAT_VERSION);
    layers.forEach((prefix, state) -> state.put(prefix, tensors, texts));
    return new NamedTensors(tensors, texts);
  }

  private void put(String prefix, Map<String, HostTensor> tensors, Map<String, String> texts) {
    if (gamma != null) {
      tensors.put(prefix + "gamma", gamma);
    }
    if (beta != null) {
      tensors.put(prefix + "beta", beta);
    }
    if (reference != null) {
      int features = config.features();
      tensors.put(prefix + "reference_mean", HostTensor.of(reference.mean(), features));
      tensors.put(prefix + "reference_variance", HostTensor.of(reference.variance(), features));
      if (reference.knowsExamples()) {
        texts.put(prefix + "reference_examples", Long.toString(reference.examples()));
      }
      if (reference.knowsElements()) {
        texts.put(prefix + "reference_elements", Long.toString(reference.elements()));
      }
    }
    texts.put(prefix + "features", Integer.toString(config.features()));
    texts.put(prefix + "variant", config.variant().label());
    texts.put(prefix + "epsilon", Double.toString(config.epsilon()));
    texts.put(prefix + "feature_axis", Integer.toString(config.featureAxis()));
    if (config.lastFeatureAxis() != config.featureAxis()) {
      texts.put(prefix + "last_feature_axis", Integer.toString(config.lastFeatureAxis()));
    }
    if (config.batchAxis() != 0) {
      texts.put(prefix + "batch_axis", Integer.toString(config.batchAxis()));
    }
    texts.put(
        prefix + "reference_gradient", config.referenceGradient().name().toLowerCase(Locale.ROOT));
  }

  /**
   * Reads a layer that VBN or somebody else has saved, under the known names.
   *
   * @throws StateException if the file is not whole, or holds no layer
   * @throws IOException if it cannot be read
   */
  public static LayerState load(Path file) throws IOException {
    return load(file, StateNames.known());
  }

  /**
   * Reads a layer.
   *
   * @param names under which the file has its parts
   * @throws StateException if the file is not whole, or holds no layer under these names
   * @throws IOException if it cannot be read
   */
  public static LayerState load(Path file, StateNames names) throws IOException {
    return load(file, names, null);
  }

  /**
   * Reads a layer that is to serve as another variant: counts that this one does not need may be
   * missing.
   *
   * @param names under which the file has its parts
   * @param variant of the layer; null for what the file says
   * @throws StateException if the file is not whole, or holds no layer under these names
   * @throws IOException if it cannot be read
   */
  public static LayerState load(Path file, StateNames names, @Nullable Variant variant)
      throws IOException {
    requireNonNull(names, "names is null; expected StateNames.known()");
    Set<String> all = new LinkedHashSet<>();
    NamedTensors content = TensorFileType.read(file, name -> {
      all.add(name);
      return names.mayBe(name);
    });
    return new Reader(file.toString(), names, content, all).layer(variant);
  }

  /** Finds the parts of one layer in what a file holds. */
  private static final class Reader {
    private final String source;
    private final StateNames names;
    private final NamedTensors content;
    private final Collection<String> all;

    Reader(String source, StateNames names, NamedTensors content, Collection<String> all) {
      this.source = source;
      this.names = names;
      this.content = content;
      this.all = all;
    }

    LayerState layer(@Nullable Variant variant) throws StateException {
      HostTensor mean = perFeature("reference_mean");
      int known = mean != null ? mean.size() : numberOfFeatures();
      HostTensor gamma = parameter("gamma", known);
      HostTensor beta = parameter("beta", known);
      boolean square =
          names.isGiven("reference_mean_square") && !names.isGiven("reference_variance");
      HostTensor variance = square ? null : perFeature("reference_variance");
      HostTensor meanSquare = variance == null ? perFeature("reference_mean_square") : null;
      boolean plain = text("last_feature_axis") == null && isPlain(gamma) && isPlain(beta);
      if (!plain && known == 0 && tensor(isPlain(gamma) ? "beta" : "gamma") != null) {
        throw refusal(isPlain(gamma) ? "beta" : "gamma");
      }
      int features = plain || known == 0 ? features(gamma, beta, mean) : known;
      VbnConfig said = config(features);
      VbnConfig config = variant == null ? said : said.withVariant(variant);
      HostTensor second = variance == null ? meanSquare : variance;
      if ((mean == null) != (second == null)) {
        throw new StateException(source + ": has "
            + (mean == null ? "no reference_mean" : "reference_mean alone")
            + "; expected it with reference_variance or reference_mean_square");
      }
      String examples = text("reference_examples");
      String elements = text("reference_elements");
      long knownExamples = counted("reference_examples", examples, 1);
      long knownElements = counted("reference_elements", elements, knownExamples);
      try {
        ReferenceMoments moments = null;
        if (mean != null && second != null) {
          ReferenceMoments counted = variance != null
              ? ReferenceMoments.of(
                  mean.toDoubles(), second.toDoubles(), knownExamples, knownElements)
              : ReferenceMoments.ofMeanSquare(
                  mean.toDoubles(), second.toDoubles(), knownExamples, knownElements);
          moments = examples == null
              ? ReferenceMoments.of(counted.mean(), counted.variance())
              : elements == null
                  ? ReferenceMoments.of(counted.mean(), counted.variance(), knownExamples)
                  : counted;
        }
        return new LayerState(config, gamma, beta, moments);
      } catch (IllegalArgumentException e) {
        throw new StateException(source + ": " + e.getMessage(), e);
      }
    }

    private long counted(String part, @Nullable String text, long otherwise) throws StateException {
      return text == null ? otherwise : number(part, text, 1, Long.MAX_VALUE);
    }

    private static boolean isPlain(@Nullable HostTensor parameter) {
      return parameter == null || parameter.shape().length == 1;
    }

    private StateException refusal(String part) {
      String name = requireNonNull(nameOf(part));
      HostTensor tensor = requireNonNull(content.tensors().get(name));
      return new StateException(source + ": '" + NpyHeader.printable(name) + "' has shape "
          + Arrays.toString(tensor.shape()) + "; expected one value per feature");
    }

    private int features(@Nullable HostTensor... parts) throws StateException {
      for (HostTensor part : parts) {
        if (part != null) {
          return part.size();
        }
      }
      int known = numberOfFeatures();
      if (known == 0) {
        throw new StateException(source + ": no layer"
            + (names.prefix().isEmpty()
                ? ""
                : " of prefix '" + NpyHeader.printable(names.prefix()) + "'")
            + "; expected gamma, beta or reference_mean among "
            + NpyHeader.printable(all.toString()));
      }
      return known;
    }

    /** The number that a text gives; 0 where there is none. */
    private int numberOfFeatures() throws StateException {
      String text = text("features");
      return text == null ? 0 : (int) number("features", text, 1, Integer.MAX_VALUE);
    }

    private VbnConfig config(int features) throws StateException {
      VbnConfig config = VbnConfig.of(features);
      try {
        String variant = text("variant");
        if (variant != null) {
          config = config.withVariant(Variant.of(variant));
        }
        String epsilon = text("epsilon");
        if (epsilon != null) {
          config = config.withEpsilon(real("epsilon", epsilon));
        }
        int first = axis("feature_axis", config.featureAxis());
        config = new VbnConfig(
            features,
            config.epsilon(),
            axis("batch_axis", 0),
            first,
            axis("last_feature_axis", first),
            config.variant(),
            config.referenceGradient());
        String gradient = text("reference_gradient");
        if (gradient != null) {
          config = config.withReferenceGradient(referenceGradient(gradient));
        }
      } catch (IllegalArgumentException e) {
        throw new StateException(
            source + ": " + NpyHeader.printable(String.valueOf(e.getMessage())), e);
      }
      return config;
    }

    private int axis(String part, int absent) throws StateException {
      String text = text(part);
      return text == null ? absent : (int) number(part, text, -5, 4);
    }

    /**
     * One number for each feature, or as many axes as it has if that cannot be.
     *
     * @param known features; 0 where nothing says how many they are
     */
    private @Nullable HostTensor parameter(String part, int known) throws StateException {
      HostTensor tensor = tensor(part);
      boolean other = tensor != null && known > 0 && tensor.size() != known;
      return tensor == null || other || axes(tensor) > 1 ? tensor : flat(tensor);
    }

    private @Nullable HostTensor perFeature(String part) throws StateException {
      HostTensor tensor = tensor(part);
      if (tensor == null) {
        return null;
      }
      if (axes(tensor) > 1) {
        throw refusal(part);
      }
      return flat(tensor);
    }

    private static long axes(HostTensor tensor) {
      return Arrays.stream(tensor.shape()).filter(length -> length != 1).count();
    }

    private @Nullable String nameOf(String part) {
      return names.of(part).stream()
          .filter(content.tensors()::containsKey)
          .findFirst()
          .orElse(null);
    }

    private @Nullable HostTensor tensor(String part) throws StateException {
      String name = nameOf(part);
      if (name != null) {
        HostTensor tensor = requireNonNull(content.tensors().get(name));
        if (tensor.size() == 0) {
          throw refusal(part);
        }
        return tensor;
      }
      if (names.isGiven(part)) {
        throw new StateException(source + ": no tensor '"
            + NpyHeader.printable(names.of(part).get(0)) + "'; expected it as " + part);
      }
      return null;
    }

    private static HostTensor flat(HostTensor tensor) {
      return tensor.dtype() == DType.FLOAT64
          ? HostTensor.of(tensor.doubles(), tensor.size())
          : HostTensor.of(tensor.floats(), tensor.size());
    }

    /** A text; or a tensor of one number, which is how files without texts say it. */
    private @Nullable String text(String part) throws StateException {
      List<String> candidates =
          part.equals("features") ? List.of(names.ofFeatures()) : names.ofText(part);
      for (String name : candidates) {
        String text = content.texts().get(name);
        if (text != null) {
          return text;
        }
        HostTensor tensor = content.tensors().get(name);
        if (tensor != null && tensor.size() == 1) {
          double value = tensor.get(0);
          return value == (long) value ? Long.toString((long) value) : Double.toString(value);
        }
        if (tensor != null) {
          throw new StateException(source + ": '" + NpyHeader.printable(name) + "' has shape "
              + Arrays.toString(tensor.shape()) + "; expected a text or a single number");
        }
      }
      if (names.isGiven(part)) {
        throw new StateException(source + ": no text '" + NpyHeader.printable(candidates.get(0))
            + "'; expected it as " + part);
      }
      return null;
    }

    private double real(String part, String text) throws StateException {
      try {
        return Double.parseDouble(text);
      } catch (NumberFormatException e) {
        throw new StateException(
            source + ": " + part + " is '" + NpyHeader.printable(text) + "'; expected a number", e);
      }
    }

    private ReferenceGradient referenceGradient(String text) throws StateException {
      for (ReferenceGradient gradient : ReferenceGradient.values()) {
        if (gradient.name().toLowerCase(Locale.ROOT).equals(text)) {
          return gradient;
        }
      }
      throw new StateException(source + ": reference_gradient is '" + NpyHeader.printable(text)
          + "'; expected detached, attached or all_detached");
    }

    private long number(String part, String text, long least, long most) throws StateException {
      try {
        long number = Long.parseLong(text);
        if (number >= least && number <= most) {
          return number;
        }
      } catch (NumberFormatException e) {
        // refused below, as numbers out of range are
      }
      throw new StateException(source + ": " + part + " is '" + NpyHeader.printable(text)
          + "'; expected a whole number from " + least + " to " + most);
    }
  }
}
