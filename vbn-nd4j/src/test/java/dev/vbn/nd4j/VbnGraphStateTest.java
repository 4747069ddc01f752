package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.autodiff.samediff.TrainingConfig;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Sgd;

/** The state of a graph's layer goes to other backends and comes from there. */
class VbnGraphStateTest {
  private static final ReferenceMoments MOMENTS =
      ReferenceMoments.of(new double[] {0.1, -1, 1e-3}, new double[] {Math.PI, 0.3, 2}, 7, 91);

  @TempDir
  private Path folder;

  @BeforeEach
  void nd4jIsHere() {
    VbnConformance.assumeDevice(new Nd4jProvider());
  }

  private static LayerState state(Variant variant) {
    return new LayerState(
        VbnConfig.of(3)
            .withVariant(variant)
            .withEpsilon(0.1 + 0.2)
            .withFeatureAxis(-2)
            .withReferenceGradient(ReferenceGradient.ATTACHED),
        HostTensor.of(new float[] {1.1f, -0.3f, 0.7f}, 3),
        HostTensor.of(new float[] {-2.5f, 0.1f, 3}, 3),
        MOMENTS);
  }

  private static float[] batch() {
    Random random = new Random(1);
    float[] values = new float[4 * 3 * 5];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (1 + 2 * random.nextGaussian());
    }
    return values;
  }

  private static SameDiff graph(LayerState state) {
    SameDiff graph = SameDiff.create();
    VbnGraph.setState(graph, "vbn1.", state);
    VbnGraph.normalize(graph.placeHolder("x", DataType.FLOAT, -1, 3, -1), "vbn1.")
        .rename("y");
    return graph;
  }

  private static float[] output(SameDiff graph) {
    return graph
        .outputSingle(Map.of("x", Nd4j.createFromArray(batch()).reshape(4, 3, 5)), "y")
        .dup('c')
        .data()
        .asFloat();
  }

  private static float[] referenceBackend(LayerState state) {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider());
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> statistics = state.statistics(backend);
        Output<HostTensor> y = layer.forward(HostTensor.of(batch(), 4, 3, 5), statistics)) {
      return y.output().floats();
    }
  }

  /** In units of 32 bits as the kit has them, of outputs that are below 16. */
  private static void assertClose(float[] expected, float[] actual) {
    assertArrayEquals(expected, actual, 16 * 16 * 0x1p-24f);
  }

  private static void assertSameBits(LayerState expected, LayerState actual) {
    assertEquals(expected.config(), actual.config());
    assertArrayEquals(expected.gamma().floats(), actual.gamma().floats());
    assertArrayEquals(expected.beta().floats(), actual.beta().floats());
    assertEquals(expected.reference(), actual.reference());
  }

  private SameDiff savedAndLoaded(SameDiff graph) {
    Path file = folder.resolve("graph.fb");
    graph.save(file.toFile(), true);
    return SameDiff.load(file.toFile(), true);
  }

  /** What a file does not say of its reference batch, the graph does not say either. */
  @ParameterizedTest
  @CsvSource({"LIVE_BATCH,false", "REFERENCE_ONLY,true", "BATCH,true"})
  void countsThatAreNotKnownStayUnknown(Variant variant, boolean examples) throws IOException {
    LayerState known = state(variant);
    LayerState state = known.withReference(
        examples
            ? ReferenceMoments.of(MOMENTS.mean(), MOMENTS.variance(), MOMENTS.examples())
            : ReferenceMoments.of(MOMENTS.mean(), MOMENTS.variance()));
    Path file = folder.resolve("layer.npz");
    state.save(file);
    LayerState given = LayerState.load(file);
    assertEquals(state.reference(), given.reference());

    SameDiff graph = graph(given);
    LayerState out = VbnGraph.state(savedAndLoaded(graph), "vbn1.");

    assertEquals(given.reference(), out.reference());
    assertSameBits(given, out);
    assertClose(referenceBackend(given), output(graph));
    VbnGraph.setState(graph, "vbn1.", known);
    assertEquals(MOMENTS, VbnGraph.state(graph, "vbn1.").reference());
  }

  /** From a file into a graph, which SameDiff saves and loads, and out of that into a file. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void everyBitComesBackOutOfASavedGraph(Variant variant) throws IOException {
    LayerState state = state(variant);
    Path file = folder.resolve("layer.safetensors");
    state.save(file);

    SameDiff loaded = savedAndLoaded(graph(LayerState.load(file)));

    LayerState out = VbnGraph.state(loaded, "vbn1.");
    assertSameBits(state, out);
    Path npz = folder.resolve("layer.npz");
    out.save(npz);
    assertSameBits(state, LayerState.load(npz));
    assertClose(referenceBackend(state), output(loaded));
  }

  /** The code of docs/ND4J.md. */
  @Test
  void aFileGoesInAndAFileComesOut() throws IOException {
    Path file = folder.resolve("layer.safetensors");
    state(Variant.LIVE_BATCH).save(file);
    Path trained = folder.resolve("trained.npz");

    SameDiff graph = SameDiff.create();
    VbnGraph.setState(graph, "vbn1.", LayerState.load(file));
    SDVariable x = graph.placeHolder("x", DataType.FLOAT, -1, 3, -1);
    SDVariable y = VbnGraph.normalize(x, "vbn1.");

    y.rename("y");
    assertClose(referenceBackend(state(Variant.LIVE_BATCH)), output(graph));

    VbnGraph.state(graph, "vbn1.").save(trained);

    assertSameBits(state(Variant.LIVE_BATCH), LayerState.load(trained));
  }

  /** Trained and saved by SameDiff, then a layer of the reference backend by way of a file. */
  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz"})
  void aTrainedGraphGoesToTheReferenceBackend(String name) throws IOException {
    LayerState before = state(Variant.LIVE_BATCH);
    SameDiff graph = graph(before);
    SDVariable label = graph.placeHolder("label", DataType.FLOAT, -1, 3, -1);
    SDVariable loss = graph.getVariable("y").sub(label);
    loss.mul(loss).mean().rename("loss");
    graph.setLossVariables("loss");
    graph.setTrainingConfig(TrainingConfig.builder()
        .updater(new Sgd(0.1))
        .dataSetFeatureMapping("x")
        .dataSetLabelMapping("label")
        .build());
    var x = Nd4j.createFromArray(batch()).reshape(4, 3, 5);
    for (int step = 0; step < 3; step++) {
      graph.fit(new DataSet(x, x));
    }
    float[] trained = output(graph);

    LayerState state = VbnGraph.state(savedAndLoaded(graph), "vbn1.");

    assertArrayEquals(
        graph.getVariable("vbn1.gamma").getArr().data().asFloat(), state.gamma().floats());
    assertFalse(Arrays.equals(before.gamma().floats(), state.gamma().floats()), "not trained");
    assertFalse(Arrays.equals(before.beta().floats(), state.beta().floats()), "not trained");
    assertEquals(MOMENTS, state.reference());
    state.save(folder.resolve(name));
    assertClose(referenceBackend(LayerState.load(folder.resolve(name))), trained);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void aGraphTakesOtherNumbersWhetherMadeOrLoaded(Variant variant) {
    LayerState other = new LayerState(
        state(variant).config(),
        HostTensor.of(new float[] {4, 5, 6}, 3),
        HostTensor.of(new double[] {1.0 / 3, 8, 9}, 3),
        ReferenceMoments.of(new double[] {3, 1, 4}, new double[] {1, 5, 9}, 2, 65));
    SameDiff made = graph(state(variant));
    for (SameDiff graph : new SameDiff[] {made, savedAndLoaded(made)}) {
      output(graph);
      VbnGraph.setState(graph, "vbn1.", other);

      LayerState now = VbnGraph.state(graph, "vbn1.");
      assertEquals(other.reference(), now.reference());
      assertArrayEquals(new float[] {1f / 3, 8, 9}, now.beta().floats(), "rounded");
      assertClose(referenceBackend(now), output(graph));
    }
  }

  /** As a discriminator has it, of real and of made examples. */
  @Test
  void severalBatchesGoThroughOneLayer() {
    SameDiff graph = graph(state(Variant.LIVE_BATCH));
    SDVariable again = VbnGraph.normalize(graph.getVariable("x").mul(1), 3, "vbn1.");
    again.rename("again");

    assertArrayEquals(
        output(graph),
        graph
            .outputSingle(Map.of("x", Nd4j.createFromArray(batch()).reshape(4, 3, 5)), again.name())
            .dup('c')
            .data()
            .asFloat());
  }

  @Test
  void aLayerWithoutGammaAndBetaStaysSo() {
    LayerState bare = new LayerState(VbnConfig.of(3), null, null, MOMENTS);

    SameDiff graph = savedAndLoaded(graph(bare));

    assertNull(VbnGraph.state(graph, "vbn1.").gamma());
    assertNull(VbnGraph.state(graph, "vbn1.").beta());
    assertClose(referenceBackend(bare), output(graph));
  }

  @Test
  void whatDoesNotFitIsRefusedAndChangesNothing() {
    LayerState own = state(Variant.POOLED);
    SameDiff graph = graph(own);

    assertRefused(
        () -> VbnGraph.setState(graph, "vbn1.", own.withConfig(VbnConfig.of(3))),
        "the state has VbnConfig[");
    assertRefused(
        () -> VbnGraph.setState(
            graph, "vbn1.", new LayerState(own.config(), null, own.beta(), MOMENTS)),
        "the state has no gamma and a beta; expected a gamma and a beta, as the layer 'vbn1.' of"
            + " the graph has");
    assertRefused(
        () -> VbnGraph.setState(graph, "vbn2.", new LayerState(own.config(), null, null, null)),
        "the state has no reference statistics");
    assertSameBits(own, VbnGraph.state(graph, "vbn1."));
    assertFalse(graph.hasVariable("vbn2.variant"));
    assertRefused(
        () -> VbnGraph.state(graph, "vbn3."),
        "the graph has no 'vbn3.reference_mean'; expected it from setState(graph, \"vbn3.\", state)");
    assertRefused(
        () -> VbnGraph.normalize(graph.placeHolder("z", DataType.FLOAT, -1, 4, 5), "vbn1."),
        "'z' has shape [-1, 4, 5]; expected 3 features on axis 1");
  }

  private static void assertRefused(Runnable call, String message) {
    String given = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(given.startsWith(message), given);
  }
}
