package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.state.LayerState;
import dev.vbn.state.Npz;
import dev.vbn.state.StateNames;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A layer of a network that PyTorch trained and saved, with what it computed there in 64 bits from
 * an input in 32 bits.
 */
final class SavedLayer {
  private static final List<SavedLayer> LAYERS = load();

  private final String name;
  private final LayerState state;
  private final HostTensor x;
  private final HostTensor y;

  private SavedLayer(String name, LayerState state, HostTensor x, HostTensor y) {
    this.name = name;
    this.state = state;
    this.x = x;
    this.y = y;
  }

  static List<SavedLayer> all() {
    return LAYERS;
  }

  private static List<SavedLayer> load() {
    try {
      Npz expected = GoldenCase.readResource("golden/network-expected.npz", Npz::read);
      return List.of(load("vbn1", expected), load("vbn2", expected));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static SavedLayer load(String name, Npz expected) throws IOException {
    LayerState state = GoldenCase.readResource(
        "golden/network.safetensors",
        file -> LayerState.load(file, StateNames.known().withPrefix(name + ".")));
    return new SavedLayer(
        name, state, expected.tensor(name + "_input"), expected.tensor(name + "_output"));
  }

  /** Restores the layer, compares its output, and saves it again. */
  <T> void check(Subject<T> subject, DType dtype) throws IOException {
    LayerState given = new LayerState(
        state.config(), as(dtype, state.gamma()), as(dtype, state.beta()), state.reference());
    try (VirtualBatchNorm<T> layer = given.layer(subject.backend);
        ReferenceStatistics<T> statistics = given.statistics(subject.backend);
        Tensors<T> made = subject.tensors()) {
      subject.tolerance.assertClose(
          Quantity.OUTPUT.label() + " of " + name + " as saved, in " + dtype,
          subject.expect(inMagnitude(), dtype).of(Quantity.OUTPUT).of(y),
          subject.output(layer, made.of(x, dtype), statistics),
          Quantity.OUTPUT.roundedTo(dtype),
          Quantity.OUTPUT.hint());
      LayerState held = LayerState.of(layer, statistics);
      for (String ending : List.of(".safetensors", ".npz")) {
        assertSaved(subject, given, savedAndLoaded(held, ending));
      }
    }
  }

  private static @Nullable HostTensor as(DType dtype, @Nullable HostTensor parameter) {
    return parameter == null ? null : parameter.to(dtype);
  }

  /**
   * A case of the same magnitudes: a reference batch of two, a deviation below and above the mean,
   * has the moments.
   */
  private Case inMagnitude() {
    VbnConfig config = state.config();
    ReferenceMoments moments = Objects.requireNonNull(state.reference());
    double[] mean = moments.mean();
    double[] variance = moments.variance();
    int features = config.features();
    double[] pair = new double[2 * features];
    for (int i = 0; i < features; i++) {
      pair[i] = mean[i] - Math.sqrt(variance[i]);
      pair[features + i] = mean[i] + Math.sqrt(variance[i]);
    }
    HostTensor reference = HostTensor.of(pair, 2, features, 1);
    return new Case(config, x, reference, state.gamma(), state.beta(), x, reference);
  }

  private static LayerState savedAndLoaded(LayerState held, String ending) throws IOException {
    Path file = Files.createTempFile("vbn-saved", ending);
    try {
      held.save(file);
      return LayerState.load(file);
    } finally {
      Files.delete(file);
    }
  }

  private void assertSaved(Subject<?> subject, LayerState given, LayerState saved) {
    String hint = "What a backend is given as plain numbers it gives back.";
    assertEquals(given.config(), saved.config(), name);
    assertSameBits("gamma of " + name, given.gamma(), saved.gamma(), hint);
    assertSameBits("beta of " + name, given.beta(), saved.beta(), hint);
    if (subject.has(Capability.FLOAT64_STATISTICS)) {
      assertEquals(given.reference(), saved.reference(), () -> name + ". " + hint);
    }
  }

  private static void assertSameBits(
      String what, @Nullable HostTensor given, @Nullable HostTensor saved, String hint) {
    Tolerance.assertSameBits(
        what, Objects.requireNonNull(given), Objects.requireNonNull(saved), hint);
  }
}
