package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.ParameterStore;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A block's state goes to other backends and comes from there; on the engine of this JVM. */
abstract class BlockState {
  private static final Shape SHAPE = new Shape(6, 3, 7);

  /** Of a layer elsewhere, in no value the default. */
  private static final LayerState ELSEWHERE = new LayerState(
      VbnConfig.of(3)
          .withVariant(Variant.POOLED)
          .withEpsilon(0.1 + 0.2)
          .withFeatureAxis(-2)
          .withReferenceGradient(ReferenceGradient.ATTACHED),
      HostTensor.of(new float[] {1.1f, -0.3f, 0.7f}, 3),
      HostTensor.of(new float[] {-2.5f, 0.1f, 3}, 3),
      ReferenceMoments.of(new double[] {0.1, -1, 1e-3}, new double[] {Math.PI, 0.3, 2}, 7, 91));

  @TempDir
  private Path folder;

  private EngineHere here;
  private ParameterStore store;
  private NDArray x;

  @BeforeEach
  void open() {
    here = EngineHere.open();
    store = new ParameterStore(here.manager, false);
    x = here.normal(here.manager, 3, 1, 2, DataType.FLOAT32, SHAPE);
  }

  @AfterEach
  void close() {
    if (here != null) {
      here.close();
    }
  }

  private VirtualBatchNormBlock initialized(VirtualBatchNormBlock.Builder builder) {
    VirtualBatchNormBlock block = builder.build();
    block.initialize(here.manager, DataType.FLOAT32, SHAPE);
    return block;
  }

  private float[] predict(VirtualBatchNormBlock block) {
    return block.forward(store, new NDList(x), false).singletonOrThrow().toFloatArray();
  }

  private float[] referenceBackend(LayerState state) {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider());
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> statistics = state.statistics(backend);
        Output<HostTensor> y = layer.forward(here.backend.toHost(x), statistics)) {
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

  /** Trained, saved and loaded by DJL, then a layer of the reference backend by way of a file. */
  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz"})
  void aModelOfDjlGoesToTheReferenceBackend(String name) throws Exception {
    float[] predicted;
    try (Model model = Model.newInstance("gan", Device.cpu(), here.engine.getEngineName())) {
      VirtualBatchNormBlock block = VirtualBatchNormBlock.builder()
          .optVariant(Variant.PER_EXAMPLE)
          .optEpsilon(1e-4)
          .build();
      SequentialBlock network = new SequentialBlock().add(block).add(Activation::tanh);
      model.setBlock(network);
      NDList frozen = new NDList(here.normal(here.manager, 4, 5, 3, DataType.FLOAT32, SHAPE));
      try (Trainer trainer = model.newTrainer(new DefaultTrainingConfig(Loss.l2Loss()))) {
        trainer.initialize(SHAPE);
        VirtualBatchNormBlock.refresh(network, trainer::forward, frozen);
        for (int step = 0; step < 3; step++) {
          try (var collector = trainer.newGradientCollector()) {
            NDList y = trainer.forward(new NDList(x));
            collector.backward(trainer.getLoss().evaluate(new NDList(x), y));
          }
          trainer.step();
        }
      }
      predicted = predict(block);
      model.save(folder, "gan");
    }

    LayerState state;
    try (Model model = Model.newInstance("gan", Device.cpu(), here.engine.getEngineName())) {
      VirtualBatchNormBlock block = VirtualBatchNormBlock.builder()
          .optVariant(Variant.PER_EXAMPLE)
          .optEpsilon(1e-4)
          .build();
      model.setBlock(new SequentialBlock().add(block).add(Activation::tanh));
      model.load(folder);
      state = block.state();
      assertArrayEquals(
          block.getParameters().get("gamma").getArray().toFloatArray(),
          state.gamma().floats());
      assertArrayEquals(
          block.getParameters().get("referenceVariance").getArray().toDoubleArray(),
          state.reference().variance());
    }
    assertEquals(
        VbnConfig.of(3).withVariant(Variant.PER_EXAMPLE).withEpsilon(1e-4), state.config());
    assertEquals(6, state.reference().examples());
    assertEquals(42, state.reference().elements());
    state.save(folder.resolve(name));

    LayerState loaded = LayerState.load(folder.resolve(name));
    assertSameBits(state, loaded);
    assertClose(referenceBackend(loaded), predicted);
  }

  /** And the other way: into a block of a network, which DJL then saves and loads. */
  @ParameterizedTest
  @ValueSource(strings = {"layer.safetensors", "layer.npz"})
  void aLayerFromElsewhereGoesIntoAModelOfDjl(String name) throws Exception {
    ELSEWHERE.save(folder.resolve(name));
    LayerState state = LayerState.load(folder.resolve(name));
    VirtualBatchNormBlock block =
        VirtualBatchNormBlock.builder().optState(state).build();
    try (Model model = Model.newInstance("gan", Device.cpu(), here.engine.getEngineName())) {
      model.setBlock(new SequentialBlock().add(block));
      try (Trainer trainer = model.newTrainer(new DefaultTrainingConfig(Loss.l2Loss()))) {
        trainer.initialize(SHAPE);
      }
      assertClose(referenceBackend(ELSEWHERE), predict(block));
      model.save(folder, "gan");
    }
    VirtualBatchNormBlock again = VirtualBatchNormBlock.builder()
        .optVariant(Variant.POOLED)
        .optEpsilon(0.1 + 0.2)
        .optAxis(-2)
        .optReferenceGradient(ReferenceGradient.ATTACHED)
        .build();
    try (Model model = Model.newInstance("gan", Device.cpu(), here.engine.getEngineName())) {
      model.setBlock(new SequentialBlock().add(again));
      model.load(folder);
      assertSameBits(ELSEWHERE, again.state());
      assertClose(referenceBackend(ELSEWHERE), predict(again));
    }
  }

  /** Which counts of the reference batch are known. */
  enum Counts {
    NONE,
    EXAMPLES,
    ALL;

    ReferenceMoments of(ReferenceMoments moments) {
      return switch (this) {
        case NONE -> ReferenceMoments.of(moments.mean(), moments.variance());
        case EXAMPLES ->
          ReferenceMoments.of(moments.mean(), moments.variance(), moments.examples());
        case ALL -> moments;
      };
    }
  }

  private static LayerState elsewhere(Variant variant, Counts counts) {
    return new LayerState(
        ELSEWHERE.config().withVariant(variant),
        ELSEWHERE.gamma(),
        ELSEWHERE.beta(),
        counts.of(ELSEWHERE.reference()));
  }

  /** What a file does not say of its reference batch, the block does not say either. */
  @ParameterizedTest
  @CsvSource({"LIVE_BATCH,NONE", "REFERENCE_ONLY,EXAMPLES", "BATCH,EXAMPLES"})
  void countsThatAreNotKnownStayUnknown(Variant variant, Counts counts) throws Exception {
    Path file = folder.resolve("layer.npz");
    elsewhere(variant, counts).save(file);
    LayerState given = LayerState.load(file);
    assertEquals(counts.of(ELSEWHERE.reference()), given.reference());
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder().optState(given));
    assertEquals(given.reference(), block.state().reference());
    assertClose(referenceBackend(given), predict(block));

    ByteArrayOutputStream saved = new ByteArrayOutputStream();
    block.saveParameters(new DataOutputStream(saved));
    VirtualBatchNormBlock loaded = initialized(VirtualBatchNormBlock.builder().optState(given));
    loaded.setState(elsewhere(variant, Counts.ALL));
    assertEquals(ELSEWHERE.reference(), loaded.state().reference());
    loaded.loadParameters(
        here.manager, new DataInputStream(new ByteArrayInputStream(saved.toByteArray())));
    assertEquals(given.reference(), loaded.state().reference());
    assertSameBits(given, loaded.state());
  }

  /** A weight that goes by a count is not known either. */
  @Test
  void aServingVariantWhoseCountsAreNotKnownIsRefused() {
    LayerState given = elsewhere(Variant.LIVE_BATCH, Counts.NONE);
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder().optState(given));
    float[] before = predict(block);
    IllegalArgumentException refusal =
        assertThrows(IllegalArgumentException.class, () -> block.setServingVariant(Variant.BATCH));
    assertEquals("no reference_examples; expected it for variant batch", refusal.getMessage());
    assertArrayEquals(before, predict(block));
    block.setServingVariant(Variant.REFERENCE_ONLY);
    block.setServingVariant(null);

    VirtualBatchNormBlock serving = initialized(VirtualBatchNormBlock.builder()
        .optState(elsewhere(Variant.LIVE_BATCH, Counts.ALL))
        .optServingVariant(Variant.POOLED));
    float[] pooled = predict(serving);
    refusal = assertThrows(
        IllegalArgumentException.class,
        () -> serving.setState(elsewhere(Variant.LIVE_BATCH, Counts.EXAMPLES)));
    assertEquals("no reference_elements; expected it for variant pooled", refusal.getMessage());
    assertEquals(ELSEWHERE.reference(), serving.state().reference());
    assertArrayEquals(pooled, predict(serving));
  }

  /** The code of docs/DJL.md. */
  @Test
  void aFileGoesInAndAFileComesOut() throws Exception {
    Path file = folder.resolve("layer.safetensors");
    ELSEWHERE.save(file);
    Path trained = folder.resolve("trained.npz");

    LayerState state = LayerState.load(file);
    SequentialBlock network = new SequentialBlock()
        .add(VirtualBatchNormBlock.builder().optState(state).build())
        .add(Activation.reluBlock());

    network.initialize(here.manager, DataType.FLOAT32, SHAPE);
    VirtualBatchNormBlock block =
        (VirtualBatchNormBlock) network.getChildren().get(0).getValue();

    block.state().save(trained);

    assertSameBits(ELSEWHERE, LayerState.load(trained));
  }

  @Test
  void anInitializedBlockTakesAStateAndForgetsItsOwn() {
    VirtualBatchNormBlock block = initialized(
        VirtualBatchNormBlock.builder().optState(ELSEWHERE.withConfig(VbnConfig.of(3))));
    NDArray gamma = block.getParameters().get("gamma").getArray();
    LayerState other = new LayerState(
        VbnConfig.of(3),
        HostTensor.of(new double[] {1.0 / 3, 2, 3}, 3),
        HostTensor.of(new float[] {4, 5, 6}, 3),
        null);

    block.setState(other);

    assertArrayEquals(new float[] {1f / 3, 2, 3}, gamma.toFloatArray(), "in place, rounded");
    assertArrayEquals(new float[] {4, 5, 6}, block.state().beta().floats());
    assertFalse(block.hasReference());
    assertNull(block.state().reference());
  }

  /** The trainer initializes again what was loaded or trained. */
  @Test
  void initializedAgainItKeepsWhatItHas() {
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder().optState(ELSEWHERE));
    block.setReference(x);
    ReferenceMoments measured = block.referenceMoments();

    block.initialize(here.manager, DataType.FLOAT32, SHAPE);

    assertEquals(measured, block.referenceMoments());
  }

  @Test
  void withoutGammaAndBetaThereAreNone() {
    LayerState bare = new LayerState(VbnConfig.of(3), null, null, ELSEWHERE.reference());

    LayerState state =
        initialized(VirtualBatchNormBlock.builder().optState(bare)).state();

    assertNull(state.gamma());
    assertNull(state.beta());
    assertEquals(bare.reference(), state.reference());
  }

  @Test
  void gammaAsOtherFrameworksShapeItIsOneValuePerFeature() {
    VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().build();
    block
        .getParameters()
        .get("gamma")
        .setArray(here.manager.create(new float[] {1, 2, 3}, new Shape(1, 3, 1)));
    block.initialize(here.manager, DataType.FLOAT32, SHAPE);

    assertArrayEquals(new float[] {1, 2, 3}, block.state().gamma().floats());
    block.setState(ELSEWHERE.withConfig(VbnConfig.of(3)));
    assertArrayEquals(
        ELSEWHERE.gamma().floats(),
        block.getParameters().get("gamma").getArray().toFloatArray());
  }

  @Test
  void parametersOf64BitsKeepThem() {
    LayerState wide = new LayerState(
        VbnConfig.of(3),
        HostTensor.of(new double[] {1.0 / 3, 2, 3}, 3),
        ELSEWHERE.beta().to(DType.FLOAT64),
        ELSEWHERE.reference());
    VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().optState(wide).build();
    block.initialize(here.manager, DataType.FLOAT64, SHAPE);

    assertArrayEquals(wide.gamma().doubles(), block.state().gamma().doubles());
  }

  @Test
  void aLayerOfAnotherKindIsRefusedAndChangesNothing() {
    LayerState own = ELSEWHERE.withConfig(VbnConfig.of(3));
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder().optState(own));

    assertRefused(block, ELSEWHERE, "the state has epsilon 0.30000000000000004; expected 1.0E-5");
    assertRefused(
        block,
        own.withConfig(VbnConfig.of(3).withFeatureAxis(2)),
        "the state has feature axis 2; expected 1");
    assertRefused(
        block,
        own.withConfig(VbnConfig.of(3).withVariant(Variant.BATCH)),
        "the state has variant batch; expected live-batch");
    assertRefused(
        block,
        new LayerState(VbnConfig.of(4), null, null, null),
        "the state has features 4; expected 3");
    assertRefused(
        block,
        new LayerState(own.config(), null, own.gamma(), null),
        "the state has no gamma; expected one, or a block built with optScale(false)");
    assertSameBits(own, block.state());
    assertRefused(
        initialized(VirtualBatchNormBlock.builder().optCenter(false)),
        own,
        "the state has beta; expected none, or a block built with optCenter(true)");
    VirtualBatchNormBlock served =
        initialized(VirtualBatchNormBlock.builder().optServingVariant(Variant.REFERENCE_ONLY));
    served.setState(own.withConfig(VbnConfig.of(3).withVariant(Variant.BATCH)));
    assertEquals(Variant.BATCH, served.config().variant());
  }

  private static void assertRefused(VirtualBatchNormBlock block, LayerState state, String message) {
    String given = assertThrows(IllegalArgumentException.class, () -> block.setState(state))
        .getMessage();
    assertTrue(given.startsWith(message), given);
  }

  @Test
  void anInputOfOtherFeaturesIsRefusedByName() {
    VirtualBatchNormBlock block =
        VirtualBatchNormBlock.builder().optState(ELSEWHERE).build();
    SequentialBlock network =
        new SequentialBlock().add(Linear.builder().setUnits(4).build()).add(block);

    String message = assertThrows(
            IllegalArgumentException.class,
            () -> network.initialize(here.manager, DataType.FLOAT32, new Shape(2, 4, 5)))
        .getMessage();

    assertEquals(
        "the input has 4 features; expected 3, as the state that the block was built with",
        message);
    assertFalse(block.isInitialized());
  }

  @Test
  void withoutInitializationThereIsNoState() {
    VirtualBatchNormBlock block =
        VirtualBatchNormBlock.builder().optState(ELSEWHERE).build();

    assertThrows(IllegalStateException.class, block::state);
    assertThrows(IllegalStateException.class, () -> block.setState(ELSEWHERE));
  }
}
