package dev.vbn.state;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A layer comes back from its file, and from those that others write. */
final class LayerStateTest {
  @TempDir
  private Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz", "LAYER.NPZ"})
  void everyBitComesBack(String name) throws IOException {
    LayerState state = new LayerState(
        VbnConfig.of(3)
            .withVariant(Variant.POOLED)
            .withEpsilon(0.1 + 0.2)
            .withFeatureAxis(-1)
            .withReferenceGradient(ReferenceGradient.ATTACHED),
        HostTensor.of(new float[] {1.1f, -0.0f, Float.MIN_VALUE}, 3),
        HostTensor.of(new float[] {Float.NaN, 2, 3}, 3),
        ReferenceMoments.of(
            new double[] {0.1, 1e300, -3}, new double[] {Math.PI, 0, Double.MIN_VALUE}, 7, 9999));
    Path file = folder.resolve(name);
    state.save(file);
    LayerState loaded = LayerState.load(file);

    assertEquals(state.config(), loaded.config());
    assertEquals(state.reference(), loaded.reference());
    assertArrayEquals(state.gamma().floats(), loaded.gamma().floats());
    assertArrayEquals(state.beta().floats(), loaded.beta().floats());
  }

  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz"})
  void aLayerWithoutParametersOrReferenceComesBack(String name) throws IOException {
    Path file = folder.resolve(name);
    new LayerState(VbnConfig.of(5), null, null, null).save(file);
    LayerState loaded = LayerState.load(file);

    assertEquals(VbnConfig.of(5), loaded.config());
    assertNull(loaded.gamma());
    assertNull(loaded.beta());
    assertNull(loaded.reference());
  }

  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz"})
  void axesComeBack(String name) throws IOException {
    Path file = folder.resolve(name);
    for (VbnConfig config : new VbnConfig[] {
      VbnConfig.of(5).withAxes(1, -1),
      VbnConfig.of(6).withFeatureAxes(1, 3).withReferenceGradient(ReferenceGradient.ALL_DETACHED)
    }) {
      new LayerState(config, null, null, null).save(file);
      assertEquals(config, LayerState.load(file).config());
    }
  }

  /** Of each channel, of each feature as the axes have them, and of each example. */
  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz"})
  void parametersOfEveryFormComeBack(String name) throws IOException {
    Path file = folder.resolve(name);
    VbnConfig images = VbnConfig.of(12).withFeatureAxes(1, 3);
    HostTensor ofChannels = HostTensor.of(new float[] {1, 2, 3}, 3);
    HostTensor ofFeatures = counting(3, 2, 2);
    HostTensor ofExamples = counting(4, 12);
    ReferenceMoments reference = ReferenceMoments.of(new double[12], new double[12], 5, 5);
    LayerState ofOneFeature = new LayerState(VbnConfig.of(1), counting(4, 1), null, null);
    ofOneFeature.save(file);
    assertSame(ofOneFeature.gamma(), LayerState.load(file).gamma());
    for (ReferenceMoments each : new ReferenceMoments[] {null, reference}) {
      for (LayerState state : List.of(
          new LayerState(images, ofChannels, ofFeatures, each),
          new LayerState(images, ofFeatures, ofChannels, each),
          new LayerState(images, null, ofChannels, each),
          new LayerState(images, ofExamples, null, each),
          new LayerState(VbnConfig.of(12), ofExamples, ofExamples, each))) {
        state.save(file);
        assertEquals(state.config(), LayerState.load(file).config());
        assertSame(state.gamma(), LayerState.load(file).gamma());
        assertSame(state.beta(), LayerState.load(file).beta());
      }
    }
  }

  private static HostTensor counting(long... shape) {
    float[] values = new float[(int) Arrays.stream(shape).reduce(1, Math::multiplyExact)];
    for (int i = 0; i < values.length; i++) {
      values[i] = i;
    }
    return HostTensor.of(values, shape);
  }

  private static void assertSame(@Nullable HostTensor expected, @Nullable HostTensor actual) {
    if (expected == null || actual == null) {
      assertEquals(expected, actual);
      return;
    }
    assertArrayEquals(expected.shape(), actual.shape());
    assertArrayEquals(expected.floats(), actual.floats());
  }

  @ParameterizedTest
  @ValueSource(strings = {"network.safetensors", "network.npz"})
  void theLayersOfANetworkStandBehindTheirPrefixes(String name) throws IOException {
    Map<String, LayerState> layers = new LinkedHashMap<>();
    layers.put("a.", state(2, Variant.BATCH, 3));
    layers.put("b.", state(4, Variant.PER_EXAMPLE, 5));
    Path file = folder.resolve(name);
    LayerState.save(file, layers);

    for (String prefix : layers.keySet()) {
      LayerState loaded = LayerState.load(file, StateNames.known().withPrefix(prefix));
      assertEquals(layers.get(prefix).config(), loaded.config());
      assertEquals(layers.get(prefix).reference(), loaded.reference());
    }
    assertRefused(file, StateNames.known(), "no layer", "a.gamma");
    assertRefused(file, StateNames.known().withPrefix("c."), "no layer of prefix 'c.'");
  }

  private static LayerState state(int features, Variant variant, long examples) {
    double[] ones = new double[features];
    Arrays.fill(ones, 1);
    return new LayerState(
        VbnConfig.of(features).withVariant(variant),
        HostTensor.of(new float[features], features),
        null,
        ReferenceMoments.of(ones, ones, examples, 2 * examples));
  }

  /** Against the outputs that the founding module itself computed in 64 bits. */
  @Test
  void theFoundingNetworksLayersComputeWhatTheyDidThere() throws IOException {
    Npz expected = Npz.read(SafetensorsTest.resource("expected.npz"));
    for (String layer : new String[] {"vbn1", "vbn2"}) {
      LayerState state = LayerState.load(
          SafetensorsTest.resource("network.safetensors"),
          StateNames.known().withPrefix(layer + "."));
      assertEquals(Variant.LIVE_BATCH, state.config().variant());
      assertEquals(12, state.reference().examples());
      assertOutput(state, expected.tensor(layer + "_input"), expected.tensor(layer + "_output"));
    }
  }

  /** Live batch, by the formula. */
  private static void assertOutput(LayerState state, HostTensor x, HostTensor y) {
    int n = (int) x.shape()[0];
    int features = (int) x.shape()[1];
    int positions = (int) x.shape()[2];
    double w = 1.0 / (n + 1);
    for (int c = 0; c < features; c++) {
      double sum = 0;
      double squares = 0;
      for (int i = 0; i < n * positions; i++) {
        double value = x.get((i / positions * features + c) * positions + i % positions);
        sum += value;
        squares += value * value;
      }
      double mean = w * sum / (n * positions) + (1 - w) * state.reference().mean()[c];
      double square =
          w * squares / (n * positions) + (1 - w) * state.reference().meanSquare()[c];
      double s = Math.sqrt(square - mean * mean + state.config().epsilon());
      for (int i = 0; i < n * positions; i++) {
        int at = (i / positions * features + c) * positions + i % positions;
        double expected =
            (x.get(at) - mean) / s * state.gamma().get(c) + state.beta().get(c);
        assertEquals(y.get(at), expected, 2e-6 * Math.max(1, Math.abs(expected)));
      }
    }
  }

  @Test
  void theFoundingModulesStateDictHasNoReference() throws IOException {
    LayerState module = LayerState.load(SafetensorsTest.resource("module.safetensors"));

    assertEquals(VbnConfig.of(6), module.config());
    assertArrayEquals(new long[] {6}, module.gamma().shape());
    assertNull(module.reference());
    assertThrows(IllegalStateException.class, () -> module.statistics(null));
  }

  @Test
  void anNpzWithReferenceIsRead() throws IOException {
    LayerState module = LayerState.load(SafetensorsTest.resource("module-with-reference.npz"));

    assertEquals(6, module.reference().features());
    assertTrue(module.reference().isFinite());
  }

  @Test
  void namesCanBeMapped() throws IOException {
    Path file = folder.resolve("batch-norm.npz");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("bn.weight", HostTensor.of(new float[] {1, 2}, 1, 2));
    tensors.put("bn.bias", HostTensor.of(new float[] {3, 4}, 2, 1, 1));
    tensors.put("bn.running_mean", HostTensor.of(new float[] {5, 6}, 2));
    tensors.put("bn.running_var", HostTensor.of(new float[] {7, 8}, 2));
    Npz.write(file, tensors);
    StateNames names = StateNames.known()
        .withPrefix("bn.")
        .with("gamma", "weight")
        .with("beta", "bias")
        .with("reference_mean", "running_mean")
        .with("reference_variance", "running_var");
    LayerState loaded = LayerState.load(file, names);

    assertArrayEquals(new float[] {1, 2}, loaded.gamma().floats());
    assertArrayEquals(new float[] {3, 4}, loaded.beta().floats());
    assertArrayEquals(new double[] {5, 6}, loaded.reference().mean());
    assertArrayEquals(new double[] {7, 8}, loaded.reference().variance());
    assertRefused(file, names.with("beta", "offset"), "no tensor 'bn.offset'", "as beta");
    assertThrows(IllegalArgumentException.class, () -> names.with("delta", "x"));
  }

  @Test
  void whatIsNoLayerIsRefusedByName() throws IOException {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("gamma", HostTensor.of(new float[] {1, 2, 3, 4}, 2, 2));
    assertNpzRefused(tensors, "'gamma' has shape [2, 2]", "one value per feature");

    tensors.put("gamma", HostTensor.of(new float[] {1, 2}, 2));
    tensors.put("beta", HostTensor.of(new float[] {1, 2, 3}, 3));
    assertNpzRefused(tensors, "beta has shape [3]", "expected [2]");

    tensors.remove("beta");
    tensors.put("ref_mean", HostTensor.of(new float[] {1, 2}, 2));
    assertNpzRefused(tensors, "reference_mean alone", "reference_variance");

    tensors.put("ref_mean_sq", HostTensor.of(new float[] {0, 4}, 2));
    assertNpzRefused(tensors, "mean square[0] is 0.0", "expected at least 1.0");

    tensors.put("ref_mean_sq", HostTensor.of(new float[] {1, 4, 9}, 3));
    assertNpzRefused(tensors, "mean has 2 values", "3");

    tensors.put("ref_mean_sq", HostTensor.of(new float[] {1, 4}, 2));
    tensors.put("gamma", HostTensor.of(new float[6], 2, 3));
    assertNpzRefused(tensors, "gamma has shape [2, 3]", "expected [2], or [examples, 2]");
    assertNpzRefused(Map.of(), "no layer");
  }

  private void assertNpzRefused(Map<String, HostTensor> tensors, String... fragments)
      throws IOException {
    Path file = folder.resolve("layer.npz");
    Npz.write(file, tensors);
    assertRefused(file, StateNames.known(), fragments);
  }

  @Test
  void textsOutOfRangeAreRefusedByName() throws IOException {
    assertTextRefused("variant", "group", "variant is 'group'", "live-batch");
    assertTextRefused("epsilon", "0", "epsilon is 0.0");
    assertTextRefused("epsilon", "tiny", "epsilon is 'tiny'", "expected a number");
    assertTextRefused("feature_axis", "0", "feature axis is 0");
    assertTextRefused("feature_axis", "9", "feature_axis is '9'");
    assertTextRefused("batch_axis", "1", "batch axis is 1 and feature axis 1");
    assertTextRefused("last_feature_axis", "0", "feature axes are 1 to 0");
    assertTextRefused("reference_examples", "-1", "reference_examples is '-1'");
    assertTextRefused("reference_examples", "99999999999999999999", "reference_examples");
    assertTextRefused("reference_elements", "2", "3 examples and 2 elements");
    assertTextRefused("reference_gradient", "some", "is 'some'", "detached, attached");
  }

  private void assertTextRefused(String key, String text, String... fragments) throws IOException {
    LayerState state = state(2, Variant.LIVE_BATCH, 3);
    Path file = folder.resolve("layer.safetensors");
    state.save(file);
    NamedTensors content = Safetensors.read(file);
    Map<String, String> texts = new LinkedHashMap<>(content.texts());
    texts.put(key, text);
    Safetensors.write(file, new NamedTensors(content.tensors(), texts));
    assertRefused(file, StateNames.known(), fragments);
  }

  @Test
  void aWeightThatGoesByAMissingCountIsRefused() throws IOException {
    for (Variant variant : Variant.values()) {
      Path file = folder.resolve("layer.safetensors");
      state(2, variant, 3).save(file);
      NamedTensors content = Safetensors.read(file);
      Map<String, String> texts = new LinkedHashMap<>(content.texts());
      texts.remove("reference_examples");
      texts.remove("reference_elements");
      Safetensors.write(file, new NamedTensors(content.tensors(), texts));
      if (variant == Variant.LIVE_BATCH || variant == Variant.REFERENCE_ONLY) {
        LayerState uncounted = LayerState.load(file);
        assertFalse(uncounted.reference().knowsExamples());
        assertFalse(uncounted.reference().knowsElements());
        assertNull(uncounted.content().texts().get("reference_examples"));
        VbnConfig pooled = uncounted.config().withVariant(Variant.POOLED);
        assertThrows(IllegalArgumentException.class, () -> uncounted.withConfig(pooled));
      } else {
        assertRefused(file, StateNames.known(), "no reference_examples", variant.label());
        LayerState served = LayerState.load(file, StateNames.known(), Variant.REFERENCE_ONLY);
        assertEquals(Variant.REFERENCE_ONLY, served.config().variant());
      }
    }
  }

  @Test
  void elementsThatAreNotCountedAreNotMadeUp() throws IOException {
    LayerState layer = LayerState.load(
        SafetensorsTest.resource("network.safetensors"), StateNames.known().withPrefix("vbn1."));

    assertEquals(12, layer.reference().examples());
    assertFalse(layer.reference().knowsElements());
    assertEquals("12", layer.content().texts().get("reference_examples"));
    assertNull(layer.content().texts().get("reference_elements"));
    layer.withConfig(layer.config().withVariant(Variant.PER_EXAMPLE));
    VbnConfig pooled = layer.config().withVariant(Variant.POOLED);
    assertEquals(
        "no reference_elements; expected it for variant pooled",
        assertThrows(IllegalArgumentException.class, () -> layer.withConfig(pooled))
            .getMessage());
  }

  /** Of a network in an .npz, as of one in safetensors, the rest may be of any type. */
  @Test
  void ofAnNpzOnlyTheLayerIsRead() throws IOException {
    Path file = folder.resolve("network.npz");
    Files.write(file, Resources.bytes("integers.npz")); // x, and label of 64-bit integers
    LayerState layer = LayerState.load(file, StateNames.known().with("gamma", "x"));

    assertArrayEquals(Resources.count(2), layer.gamma().floats());
    assertRefused(file, StateNames.known().with("gamma", "label"), "label.npy: dtype is '<i8'");
    assertRefused(file, StateNames.known(), "no layer", "[x, label]");
  }

  @Test
  void numbersMayBeTensors() throws IOException {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("a.reference_mean", HostTensor.of(new float[] {1, 2}, 2));
    tensors.put("a.reference_variance", HostTensor.of(new float[] {3, 4}, 2));
    tensors.put("a.eps", HostTensor.of(new double[] {1e-3}));
    tensors.put("reference_examples", HostTensor.of(new float[] {7}, 1));
    for (String name : new String[] {"layer.npz", "layer.safetensors"}) {
      Path file = folder.resolve(name);
      write(file, tensors);
      LayerState layer = LayerState.load(file, StateNames.known().withPrefix("a."));
      assertEquals(1e-3, layer.config().epsilon());
      assertEquals(7, layer.reference().examples());
    }
    tensors.put("a.eps", HostTensor.of(new float[] {1, 2}, 2));
    Path file = folder.resolve("layer.npz");
    write(file, tensors);
    assertRefused(file, StateNames.known().withPrefix("a."), "'a.eps' has shape [2]", "a text");
    tensors.put("a.eps", HostTensor.of(new float[] {Float.NaN}));
    write(file, tensors);
    assertRefused(file, StateNames.known().withPrefix("a."), "epsilon is NaN");
  }

  private static void write(Path file, Map<String, HostTensor> tensors) throws IOException {
    try (OutputStream out = Files.newOutputStream(file)) {
      TensorFileType.of(file).write(out, new NamedTensors(tensors, Map.of()));
    }
  }

  @Test
  void textsAreMappedToo() throws IOException {
    Path file = folder.resolve("layer.safetensors");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("a.gamma", HostTensor.of(new float[] {1, 2}, 2));
    Map<String, String> texts = new LinkedHashMap<>();
    texts.put("a.axis", "2");
    texts.put("smoothing", "0.25");
    Safetensors.write(file, new NamedTensors(tensors, texts));
    StateNames names = StateNames.known()
        .withPrefix("a.")
        .with("feature_axis", "axis")
        .with("epsilon", "smoothing");
    LayerState layer = LayerState.load(file, names);

    assertEquals(2, layer.config().featureAxis());
    assertEquals(0.25, layer.config().epsilon());
    assertRefused(file, names.with("variant", "kind"), "no text 'a.kind'", "as variant");
  }

  /** A file with both tells twice what a variance is; the one that was asked for is taken. */
  @Test
  void meanSquaresThatAreNamedWinOverAVariance() throws IOException {
    Path file = folder.resolve("layer.npz");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("reference_mean", HostTensor.of(new float[] {1, 2}, 2));
    tensors.put("reference_variance", HostTensor.of(new float[] {9, 9}, 2));
    tensors.put("squares", HostTensor.of(new float[] {2, 8}, 2));
    write(file, tensors);
    StateNames names = StateNames.known().with("reference_mean_square", "squares");

    assertArrayEquals(
        new double[] {1, 4}, LayerState.load(file, names).reference().variance());
    assertArrayEquals(new double[] {9, 9}, LayerState.load(file).reference().variance());
  }

  @Test
  void anotherEndingIsRefused() {
    for (String name : new String[] {"layer.pt", "layer", "npz"}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> state(2, Variant.BATCH, 3).save(folder.resolve(name)));
    }
  }

  @Test
  void aLayerThatCannotBeWrittenLeavesNothing() throws IOException {
    Path file = folder.resolve("missing").resolve("layer.npz");
    assertThrows(IOException.class, () -> state(2, Variant.BATCH, 3).save(file));
    try (var files = Files.list(folder)) {
      assertEquals(0, files.count());
    }
  }

  private static void assertRefused(Path file, StateNames names, String... fragments) {
    String message =
        assertThrows(IOException.class, () -> LayerState.load(file, names)).getMessage();
    for (String fragment : fragments) {
      assertTrue(message.contains(fragment), message);
    }
  }
}
