package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.Blocks;
import ai.djl.nn.Parameter;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.EasyTrain;
import ai.djl.training.GradientCollector;
import ai.djl.training.ParameterStore;
import ai.djl.training.Trainer;
import ai.djl.training.dataset.ArrayDataset;
import ai.djl.training.initializer.Initializer;
import ai.djl.training.listener.TrainingListenerAdapter;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.Mask;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a DJL user expects of {@link VirtualBatchNormBlock}, on one engine. */
abstract class BlockBehavior {
  private static final int FEATURES = 3;
  private static final Shape SHAPE = new Shape(4, FEATURES, 5);

  private final Random random = new Random(1);
  private final String engineName;
  private Engine engine;
  private NDManager manager;
  private ParameterStore store;

  BlockBehavior(String engineName) {
    this.engineName = engineName;
  }

  @BeforeEach
  void open() {
    try {
      engine = Engine.getEngine(engineName);
    } catch (EngineException e) {
      abort(engineName + " has no natives for this platform: " + e.getMessage());
    }
    engine.setRandomSeed(1);
    manager = engine.newBaseManager(Device.cpu());
    store = new ParameterStore(manager, false);
  }

  @AfterEach
  void close() {
    manager.close();
  }

  private NDArray normal(NDManager owner, Shape shape) {
    double[] values = new double[Math.toIntExact(shape.size())];
    Arrays.setAll(values, i -> 0.5 + 2 * random.nextGaussian());
    return Workspace.copyOf(owner, values, shape, DataType.FLOAT32);
  }

  private NDArray normal(Shape shape) {
    return normal(manager, shape);
  }

  private VirtualBatchNormBlock initialized(VirtualBatchNormBlock.Builder builder) {
    VirtualBatchNormBlock block = builder.build();
    block.initialize(manager, DataType.FLOAT32, SHAPE);
    return block;
  }

  private VirtualBatchNormBlock referenced(VirtualBatchNormBlock.Builder builder) {
    VirtualBatchNormBlock block = initialized(builder);
    block.setReference(normal(SHAPE));
    return block;
  }

  private float[] predict(Block block, NDArray x) {
    return block.forward(store, new NDList(x), false).singletonOrThrow().toFloatArray();
  }

  private UnaryOperator<NDList> training(Block block) {
    return inputs -> block.forward(store, inputs, true);
  }

  private static SequentialBlock network(VirtualBatchNormBlock... blocks) {
    SequentialBlock network = new SequentialBlock();
    for (VirtualBatchNormBlock block : blocks) {
      network.add(Linear.builder().setUnits(8).build());
      network.add(block);
      network.add(Activation::relu);
    }
    return network.add(Linear.builder().setUnits(1).build());
  }

  // Parameters

  @Test
  void parametersHaveTheNamesAndTypesOfDjl() {
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder());

    assertEquals(
        List.of("gamma", "beta", "referenceMean", "referenceVariance"),
        block.getParameters().keys());
    List<Parameter> parameters = block.getParameters().values();
    assertEquals(
        List.of(
            Parameter.Type.GAMMA,
            Parameter.Type.BETA,
            Parameter.Type.RUNNING_MEAN,
            Parameter.Type.RUNNING_VAR),
        parameters.stream().map(Parameter::getType).toList());
    assertEquals(
        List.of(true, true, false, false),
        parameters.stream().map(Parameter::requiresGradient).toList());
    parameters.forEach(
        parameter -> assertEquals(new Shape(FEATURES), parameter.getArray().getShape()));
    assertEquals(FEATURES, block.config().features());
    assertFalse(block.hasReference());
  }

  @Test
  void withoutScaleAndCenterThereAreOnlyStatistics() {
    VirtualBatchNormBlock block =
        referenced(VirtualBatchNormBlock.builder().optScale(false).optCenter(false));

    assertEquals(
        List.of("referenceMean", "referenceVariance"), block.getParameters().keys());
    assertEquals(SHAPE.size(), predict(block, normal(SHAPE)).length);
  }

  @Test
  void gammaIsDrawnAroundOneAndBetaIsZero() {
    VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().build();
    block.initialize(manager, DataType.FLOAT32, new Shape(1, 4000));

    float[] gamma = block.getParameters().get("gamma").getArray().toFloatArray();
    double mean = mean(gamma);
    double deviation = 0;
    for (float value : gamma) {
      deviation += (value - mean) * (value - mean) / gamma.length;
    }
    assertEquals(1, mean, 0.002);
    assertEquals(0.02, Math.sqrt(deviation), 0.002);
    assertArrayEquals(
        new float[4000], block.getParameters().get("beta").getArray().toFloatArray());
  }

  private static double mean(float[] values) {
    double sum = 0;
    for (float value : values) {
      sum += value;
    }
    return sum / values.length;
  }

  @Test
  void initializersCanBeReplaced() {
    VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().build();
    block.setInitializer(Initializer.ONES, Parameter.Type.GAMMA);
    block.setInitializer(Initializer.ONES, "beta");
    block.initialize(manager, DataType.FLOAT32, SHAPE);

    assertArrayEquals(
        new float[] {1, 1, 1}, block.getParameters().get("gamma").getArray().toFloatArray());
    assertArrayEquals(
        new float[] {1, 1, 1}, block.getParameters().get("beta").getArray().toFloatArray());
  }

  @Test
  void shapesStayAndUnknownLengthsAreLetThrough() {
    VirtualBatchNormBlock last = VirtualBatchNormBlock.builder().optAxis(-1).build();
    Shape unknown = new Shape(-1, 7, FEATURES);

    assertArrayEquals(new Shape[] {unknown}, last.getOutputShapes(new Shape[] {unknown}));
    last.initialize(manager, DataType.FLOAT32, unknown);
    assertEquals(FEATURES, last.config().features());
    assertRefused(
        IllegalArgumentException.class,
        () -> last.getOutputShapes(new Shape[] {new Shape(4)}),
        "rank is 1");
  }

  @Test
  void settingsOutOfRangeAreRefusedAtOnce() {
    VirtualBatchNormBlock.Builder builder = VirtualBatchNormBlock.builder();

    assertRefused(
        IllegalArgumentException.class, () -> builder.optEpsilon(0), "epsilon is 0.0", "above 0");
    assertRefused(IllegalArgumentException.class, () -> builder.optAxis(0), "feature axis is 0");
  }

  /** As layers of other libraries have them. */
  @Test
  void gammaAndBetaMayHaveLengthsOfOne() throws Exception {
    VirtualBatchNormBlock flat = referenced(VirtualBatchNormBlock.builder());
    VirtualBatchNormBlock given = VirtualBatchNormBlock.builder().build();
    Shape shape = new Shape(1, FEATURES, 1);
    given.getParameters().get("gamma").setArray(flatCopy(flat, "gamma").reshape(shape));
    given.getParameters().get("beta").setArray(flatCopy(flat, "beta").reshape(shape));
    given.initialize(manager, DataType.FLOAT32, SHAPE);
    given.setReference(flat.referenceMoments());
    NDArray x = normal(SHAPE);
    float[] expected = predict(flat, x);

    assertArrayEquals(expected, predict(given, x));
    int arrays = manager.getManagedArrays().size();
    predict(given, x);
    assertEquals(arrays + 1, manager.getManagedArrays().size());

    NDArray upstream = normal(SHAPE);
    for (VirtualBatchNormBlock block : List.of(flat, given)) {
      try (GradientCollector collector = engine.newGradientCollector()) {
        NDArray output = block.forward(store, new NDList(x), true).head();
        System.gc();
        collector.backward(output.mul(upstream).sum());
      }
    }
    for (String name : List.of("gamma", "beta")) {
      assertEquals(shape, gradient(given, name).getShape());
      assertArrayEquals(
          gradient(flat, name).toFloatArray(), gradient(given, name).toFloatArray());
    }

    VirtualBatchNormBlock loaded = VirtualBatchNormBlock.builder().build();
    load(loaded, save(given));
    assertArrayEquals(expected, predict(loaded, x));
  }

  private NDArray flatCopy(VirtualBatchNormBlock block, String parameter) {
    return block.getParameters().get(parameter).getArray().toDevice(Device.cpu(), true);
  }

  @Test
  void gammaOfAnotherShapeIsRefused() {
    for (Shape shape : List.of(new Shape(FEATURES + 1), new Shape(FEATURES, FEATURES))) {
      VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().build();
      block.getParameters().get("gamma").setArray(manager.ones(shape));
      block.initialize(manager, DataType.FLOAT32, SHAPE);
      block.setReference(normal(SHAPE));
      assertRefused(
          IllegalArgumentException.class, () -> predict(block, normal(SHAPE)), "gamma has shape");
    }
  }

  // The reference

  @Test
  void momentsAreTakenAsTheyAre() {
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder());
    ReferenceMoments moments =
        ReferenceMoments.of(new double[] {1, 2, 1e9 + 0.1}, new double[] {0.1, 1, 2}, 4, 20);

    block.setReference(moments);

    assertEquals(moments, block.referenceMoments());
    assertRefused(
        IllegalArgumentException.class,
        () -> block.setReference(ReferenceMoments.empty(FEATURES)),
        "of no example");
    assertRefused(
        IllegalArgumentException.class,
        () -> block.setReference(ReferenceMoments.of(new double[2], new double[2], 1, 1)),
        "2 features; expected 3");
    assertEquals(moments, block.referenceMoments());
  }

  @Test
  void withoutAReferenceAForwardPassIsRefused() {
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder());
    NDList inputs = new NDList(normal(SHAPE));

    for (boolean training : new boolean[] {true, false}) {
      assertRefused(
          IllegalStateException.class,
          () -> block.forward(store, inputs, training),
          "no reference is set",
          "expected VirtualBatchNormBlock.refresh");
    }
    assertRefused(IllegalStateException.class, block::referenceMoments, "no reference is set");
  }

  @Test
  void withoutInitializationAReferenceIsRefused() {
    VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().build();

    assertRefused(
        IllegalStateException.class,
        () -> block.setReference(normal(SHAPE)),
        "before the block was initialized");
  }

  @Test
  void chunksGiveTheReferenceOfTheWhole() {
    NDArray whole = normal(SHAPE);
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder());
    block.setReference(whole);
    ReferenceMoments one = block.referenceMoments();
    block.setReference(new NDList(whole.get("0:1"), whole.get("1:4")));
    ReferenceMoments two = block.referenceMoments();
    assertArrayEquals(one.mean(), two.mean(), 1e-7);
    assertArrayEquals(one.variance(), two.variance(), 1e-6);
    assertEquals(4, two.examples());
    assertEquals(20, two.elements());
  }

  @Test
  void refreshGivesEveryBlockTheStatisticsOfWhatReachesIt() {
    VirtualBatchNormBlock first = VirtualBatchNormBlock.builder().build();
    VirtualBatchNormBlock second = VirtualBatchNormBlock.builder().build();
    Block before = Linear.builder().setUnits(8).build();
    Block between = Linear.builder().setUnits(6).build();
    SequentialBlock network =
        new SequentialBlock().add(before).add(first).add(between).add(second);
    network.initialize(manager, DataType.FLOAT32, new Shape(16, 5));
    NDArray frozen = normal(new Shape(16, 5));

    VirtualBatchNormBlock.refresh(network, training(network), new NDList(frozen));

    NDArray hidden = before.forward(store, new NDList(frozen), false).head();
    assertStatistics(hidden, first);
    try (VirtualBatchNorm<NDArray> layer = layerOf(first)) {
      NDArray normalized = layer.reference(hidden).output();
      assertStatistics(between.forward(store, new NDList(normalized), false).head(), second);
    }
  }

  private void assertStatistics(NDArray batch, VirtualBatchNormBlock block) {
    try (VirtualBatchNorm<NDArray> layer = layerOf(block);
        ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(batch)) {
      ReferenceMoments expected = statistics.moments();
      ReferenceMoments actual = block.referenceMoments();
      assertArrayEquals(expected.mean(), actual.mean(), 1e-6);
      assertArrayEquals(expected.variance(), actual.variance(), 1e-6);
      assertEquals(expected.examples(), actual.examples());
      assertEquals(expected.elements(), actual.elements());
    }
  }

  private VirtualBatchNorm<NDArray> layerOf(VirtualBatchNormBlock block) {
    return VirtualBatchNorm.of(VbnBackend.open(DjlProvider.on(engine)), block.config())
        .withGamma(block.getParameters().get("gamma").getArray())
        .withBeta(block.getParameters().get("beta").getArray());
  }

  @Test
  void aRefreshThatFailsLeavesEveryReferenceAsItWas() {
    VirtualBatchNormBlock first = VirtualBatchNormBlock.builder().build();
    VirtualBatchNormBlock second = VirtualBatchNormBlock.builder().build();
    SequentialBlock network = network(first, second);
    network.initialize(manager, DataType.FLOAT32, new Shape(16, 5));
    NDList frozen = new NDList(normal(new Shape(16, 5)));
    VirtualBatchNormBlock.refresh(network, training(network), frozen);
    double[] before = mean(first);
    NDArray x = normal(new Shape(2, 5));
    float[] prediction = predict(network, x);

    assertRefused(
        IllegalStateException.class,
        () -> VirtualBatchNormBlock.refresh(
            network,
            inputs -> first.forward(store, new NDList(normal(new Shape(16, 8))), true),
            frozen),
        "VirtualBatchNormBlock was not reached by the reference batch");
    assertRefused(
        IllegalStateException.class,
        () -> VirtualBatchNormBlock.refresh(
            network,
            inputs -> {
              network.forward(store, inputs, true);
              return network.forward(store, inputs, true);
            },
            frozen),
        "twice");
    assertArrayEquals(before, mean(first));
    assertArrayEquals(prediction, predict(network, x));
  }

  private static double[] mean(VirtualBatchNormBlock block) {
    return block.referenceMoments().mean();
  }

  @Test
  void refreshingANetworkWithoutTheBlockIsRefused() {
    Block identity = Blocks.identityBlock();

    assertRefused(
        IllegalArgumentException.class,
        () ->
            VirtualBatchNormBlock.refresh(identity, training(identity), new NDList(normal(SHAPE))),
        "has no VirtualBatchNormBlock");
  }

  // Values and gradients

  @Test
  void trainingAndPredictionComputeTheSame() {
    VirtualBatchNormBlock block = referenced(VirtualBatchNormBlock.builder());
    NDArray x = normal(SHAPE);

    assertArrayEquals(
        predict(block, x),
        block.forward(store, new NDList(x), true).singletonOrThrow().toFloatArray());
  }

  @Test
  void companionsDoNotMatterPerExample() {
    VirtualBatchNormBlock block =
        referenced(VirtualBatchNormBlock.builder().optVariant(Variant.PER_EXAMPLE));
    NDArray x = normal(new Shape(1, FEATURES, 5));

    float[] one = predict(block, x.concat(normal(SHAPE), 0));
    float[] two = predict(block, x.concat(normal(SHAPE), 0));
    assertArrayEquals(Arrays.copyOf(one, FEATURES * 5), Arrays.copyOf(two, FEATURES * 5));
  }

  @Test
  void servedByAnotherVariantItPredictsByThatAndTrainsAsBefore() {
    VirtualBatchNormBlock trained = referenced(VirtualBatchNormBlock.builder());
    NDArray x = normal(SHAPE);
    float[] live = predict(trained, x);

    VirtualBatchNormBlock.setServingVariant(trained, Variant.REFERENCE_ONLY);

    VirtualBatchNorm<NDArray> layer = layerOf(trained).withVariant(Variant.REFERENCE_ONLY);
    try (ReferenceStatistics<NDArray> statistics =
        ReferenceStatistics.of(layer.backend(), trained.referenceMoments())) {
      float[] expected = layer.forward(x, statistics).output().toFloatArray();
      assertArrayEquals(expected, predict(trained, x));
      assertFalse(Arrays.equals(expected, live), "the variants differ");
    }
    assertArrayEquals(live, trained.forward(store, new NDList(x), true).head().toFloatArray());
    assertEquals(Variant.LIVE_BATCH, trained.config().variant());
    trained.setServingVariant(null);
    assertArrayEquals(live, predict(trained, x));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void gradientsAreThoseOfTheLayersBackward(Variant variant) {
    VirtualBatchNormBlock block = referenced(VirtualBatchNormBlock.builder().optVariant(variant));
    NDArray x = normal(SHAPE);
    NDArray upstream = normal(SHAPE);
    x.setRequiresGradient(true);

    try (GradientCollector collector = engine.newGradientCollector()) {
      NDArray output = block.forward(store, new NDList(x), true).head();
      System.gc();
      collector.backward(output.mul(upstream).sum());
    }

    try (VirtualBatchNorm<NDArray> layer = layerOf(block);
        ReferenceStatistics<NDArray> statistics =
            ReferenceStatistics.of(layer.backend(), block.referenceMoments())) {
      Gradients<NDArray> expected = layer.backward(x, statistics, upstream);
      assertClose(expected.dx(), x.getGradient());
      assertClose(expected.dgamma(), gradient(block, "gamma"));
      assertClose(expected.dbeta(), gradient(block, "beta"));
    }
  }

  @Test
  void attachedGradientsReachTheReferenceBatch() {
    VirtualBatchNormBlock block = initialized(
        VirtualBatchNormBlock.builder().optReferenceGradient(ReferenceGradient.ATTACHED));
    NDArray frozen = normal(SHAPE);
    frozen.setRequiresGradient(true);
    NDArray x = normal(SHAPE);
    NDArray upstream = normal(SHAPE);

    for (int step = 0; step < 2; step++) {
      try (GradientCollector collector = engine.newGradientCollector()) {
        collector.zeroGradients();
        VirtualBatchNormBlock.refresh(block, training(block), new NDList(frozen));
        NDArray output = block.forward(store, new NDList(x), true).head();
        System.gc();
        collector.backward(output.mul(upstream).sum());
      }
    }

    try (VirtualBatchNorm<NDArray> layer = layerOf(block);
        ReferenceStatistics<NDArray> statistics =
            ReferenceStatistics.of(layer.backend(), block.referenceMoments())) {
      Gradients<NDArray> gradients = layer.backward(x, statistics, upstream);
      try (Output<NDArray> expected = layer.referenceGradient(frozen, statistics, gradients);
          NDArray gradient = frozen.getGradient()) {
        assertClose(expected.output(), gradient);
      }
    }
  }

  @Test
  void aRefreshAfterAForwardPassDoesNotChangeItsGradients() {
    VirtualBatchNormBlock block = referenced(VirtualBatchNormBlock.builder());
    NDArray x = normal(SHAPE);
    NDArray upstream = normal(SHAPE);
    x.setRequiresGradient(true);
    NDArray expected;
    try (VirtualBatchNorm<NDArray> layer = layerOf(block);
        ReferenceStatistics<NDArray> statistics =
            ReferenceStatistics.of(layer.backend(), block.referenceMoments())) {
      expected = layer.backward(x, statistics, upstream).dx();
    }

    try (GradientCollector collector = engine.newGradientCollector()) {
      NDArray output = block.forward(store, new NDList(x), true).head();
      VirtualBatchNormBlock.refresh(block, training(block), new NDList(normal(SHAPE)));
      collector.backward(output.mul(upstream).sum());
    }
    assertClose(expected, x.getGradient());
  }

  private static NDArray gradient(VirtualBatchNormBlock block, String parameter) {
    return block.getParameters().get(parameter).getArray().getGradient();
  }

  private static void assertClose(NDArray expected, NDArray actual) {
    assertEquals(expected.getShape(), actual.getShape());
    float[] values = expected.toFloatArray();
    double largest = 0;
    for (float value : values) {
      largest = Math.max(largest, Math.abs(value));
    }
    assertTrue(largest > 0);
    assertArrayEquals(values, actual.toFloatArray(), (float) (1e-5 * largest));
  }

  // Padded batches

  private static final long[] LENGTHS = {2, 5, 0, 3};

  private static final Mask MASK = Mask.lengths(LENGTHS);

  /** A batch of {@link #SHAPE} with NaN where {@link #LENGTHS} end. */
  private NDArray padded() {
    NDArray whole = normal(SHAPE);
    float[] values = whole.toFloatArray();
    for (int i = 0; i < values.length; i++) {
      values[i] = counts(i) ? values[i] : Float.NaN;
    }
    return Workspace.copyOf(manager, values, SHAPE);
  }

  private static boolean counts(int index) {
    return index % 5 < LENGTHS[index / (FEATURES * 5)];
  }

  /** The lengths in each of the ways to give them. */
  private List<NDArray> lengths() {
    boolean[] mask = new boolean[4 * 5];
    byte[] bytes = new byte[mask.length];
    for (int i = 0; i < mask.length; i++) {
      mask[i] = i % 5 < LENGTHS[i / 5];
      bytes[i] = (byte) (mask[i] ? 1 : 0);
    }
    int[] ints = Arrays.stream(LENGTHS).mapToInt(Math::toIntExact).toArray();
    return List.of(
        manager.create(LENGTHS),
        manager.create(ints),
        manager.create(mask, new Shape(4, 5)),
        manager.create(ByteBuffer.wrap(bytes), new Shape(4, 5), DataType.UINT8));
  }

  @Test
  void whatDoesNotCountHasNoEffect() {
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder());
    NDArray reference = padded();
    NDArray x = padded();
    for (NDArray counts : lengths()) {
      block.setReference(reference, counts);
      assertEquals(3, block.referenceMoments().examples());
      assertEquals(10, block.referenceMoments().elements());
      NDList inputs = new NDList(x, counts);
      float[] output = block.forward(store, inputs, false).singletonOrThrow().toFloatArray();
      try (VirtualBatchNorm<NDArray> layer = layerOf(block);
          ReferenceStatistics<NDArray> statistics =
              ReferenceStatistics.of(layer.backend(), block.referenceMoments());
          Output<NDArray> expected = layer.withMask(MASK).forward(x, statistics)) {
        assertArrayEquals(expected.output().toFloatArray(), output, 1e-6f);
      }
      for (int i = 0; i < output.length; i++) {
        assertTrue(counts(i) ? output[i] != 0 : output[i] == 0, "element " + i);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void gradientsOfAPaddedBatchAreThoseOfTheLayersBackward(Variant variant) {
    VirtualBatchNormBlock block = initialized(VirtualBatchNormBlock.builder().optVariant(variant));
    NDArray frozen = padded();
    NDArray lengths = lengths().get(0);
    VirtualBatchNormBlock.refresh(block, training(block), new NDList(frozen, lengths));
    assertEquals(10, block.referenceMoments().elements());
    NDArray x = padded();
    NDArray upstream = normal(SHAPE);
    x.setRequiresGradient(true);

    try (GradientCollector collector = engine.newGradientCollector()) {
      NDArray output = block.forward(store, new NDList(x, lengths), true).singletonOrThrow();
      System.gc();
      collector.backward(output.mul(upstream).sum());
    }

    try (VirtualBatchNorm<NDArray> layer = layerOf(block);
        ReferenceStatistics<NDArray> statistics =
            ReferenceStatistics.of(layer.backend(), block.referenceMoments())) {
      Gradients<NDArray> expected = layer.withMask(MASK).backward(x, statistics, upstream);
      assertClose(expected.dx(), x.getGradient());
      assertClose(expected.dgamma(), gradient(block, "gamma"));
      assertClose(expected.dbeta(), gradient(block, "beta"));
    }
  }

  @Test
  void attachedGradientsReachWhatCountsOfTheReferenceBatch() {
    VirtualBatchNormBlock block = initialized(
        VirtualBatchNormBlock.builder().optReferenceGradient(ReferenceGradient.ATTACHED));
    NDArray frozen = padded();
    frozen.setRequiresGradient(true);
    NDArray x = normal(SHAPE);
    NDArray upstream = normal(SHAPE);

    try (GradientCollector collector = engine.newGradientCollector()) {
      VirtualBatchNormBlock.refresh(
          block, training(block), new NDList(frozen, lengths().get(0)));
      NDArray output = block.forward(store, new NDList(x), true).head();
      collector.backward(output.mul(upstream).sum());
    }

    try (VirtualBatchNorm<NDArray> layer = layerOf(block);
        ReferenceStatistics<NDArray> statistics =
            ReferenceStatistics.of(layer.backend(), block.referenceMoments())) {
      Gradients<NDArray> gradients = layer.backward(x, statistics, upstream);
      try (Output<NDArray> expected =
          layer.withMask(MASK).referenceGradient(frozen, statistics, gradients)) {
        assertClose(expected.output(), frozen.getGradient());
      }
    }
  }

  @Test
  void aBlockOfPaddedBatchesIsSavedAndLoaded() throws Exception {
    VirtualBatchNormBlock saved = VirtualBatchNormBlock.builder().build();
    saved.initialize(manager, DataType.FLOAT32, SHAPE, new Shape(4));
    assertArrayEquals(
        new Shape[] {SHAPE}, saved.getOutputShapes(new Shape[] {SHAPE, new Shape(4)}));
    NDArray lengths = lengths().get(0);
    saved.setReference(padded(), lengths);
    VirtualBatchNormBlock loaded = VirtualBatchNormBlock.builder().build();

    load(loaded, save(saved));

    NDList inputs = new NDList(padded(), lengths);
    assertArrayEquals(
        saved.forward(store, inputs, false).singletonOrThrow().toFloatArray(),
        loaded.forward(store, inputs, false).singletonOrThrow().toFloatArray());
  }

  @Test
  void whatDoesNotSayWhatCountsIsRefused() {
    VirtualBatchNormBlock block = referenced(VirtualBatchNormBlock.builder());
    NDArray x = normal(SHAPE);
    NDArray lengths = lengths().get(0);
    assertRefused(
        IllegalArgumentException.class,
        () -> block.forward(store, new NDList(x, lengths, lengths), false),
        "3 inputs",
        "expected");
    assertRefused(
        IllegalArgumentException.class,
        () -> block.forward(store, new NDList(x, x), false),
        "(4, 3, 5)",
        "expected lengths, INT32 or INT64");
    assertRefused(
        IllegalArgumentException.class,
        () -> block.forward(store, new NDList(x, manager.create(new long[] {1, 2})), false),
        "2 lengths",
        "expected 4");
    assertRefused(
        IllegalArgumentException.class,
        () -> block.forward(store, new NDList(x, manager.create(new long[] {1, 2, 6, 1})), false),
        "length of example 2 is 6",
        "at most 5");
    assertRefused(
        IllegalArgumentException.class,
        () -> block.setReference(x, manager.create(new boolean[6], new Shape(2, 3))),
        "[2, 3]",
        "expected [4, 5]");
  }

  // Training

  /** DJL's own losses multiply by a Java number, whose memory PyTorch's graph may outlive. */
  private static final class SquaredError extends Loss {
    SquaredError() {
      super("SquaredError");
    }

    @Override
    public NDArray evaluate(NDList labels, NDList predictions) {
      return labels.head().sub(predictions.head()).square().mean();
    }
  }

  private static DefaultTrainingConfig trainingConfig() {
    return new DefaultTrainingConfig(new SquaredError())
        .optDevices(new Device[] {Device.cpu()})
        .optOptimizer(
            Optimizer.adam().optLearningRateTracker(Tracker.fixed(0.01f)).build());
  }

  private static Trainer trainer(Model model) {
    return model.newTrainer(trainingConfig());
  }

  private Model model(Block network) {
    Model model = Model.newInstance("model", Device.cpu(), engineName);
    model.setBlock(network);
    return model;
  }

  @Test
  void aSequentialBlockLearnsByEasyTrain() throws Exception {
    SequentialBlock network = network(
        VirtualBatchNormBlock.builder().build(), VirtualBatchNormBlock.builder().build());
    try (Model model = model(network);
        Trainer trainer = trainer(model)) {
      trainer.initialize(new Shape(32, 4));
      NDManager owner = model.getNDManager();
      NDArray x = normal(owner, new Shape(256, 4));
      NDArray y = x.get(":,0:1").mul(x.get(":,1:2")).sign();
      ArrayDataset data = new ArrayDataset.Builder()
          .setData(x)
          .optLabels(y)
          .setSampling(32, true)
          .build();
      VirtualBatchNormBlock.refresh(network, trainer::forward, new NDList(x));
      float before = loss(trainer, x, y);

      for (int epoch = 0; epoch < 20; epoch++) {
        EasyTrain.fit(trainer, 1, data, null);
        VirtualBatchNormBlock.refresh(network, trainer::forward, new NDList(x));
      }

      float after = loss(trainer, x, y);
      assertTrue(after < before / 2, () -> "loss " + before + " became " + after);
    }
  }

  @Test
  void aListenerRefreshesWhileEasyTrainTrains() throws Exception {
    VirtualBatchNormBlock block = VirtualBatchNormBlock.builder().build();
    SequentialBlock network = network(block);
    try (Model model = model(network)) {
      NDManager owner = model.getNDManager();
      NDArray x = normal(owner, new Shape(64, 4));
      NDList frozen = new NDList(normal(owner, new Shape(16, 4)));
      List<ReferenceMoments> seen = new ArrayList<>();
      DefaultTrainingConfig training = trainingConfig();
      training.addTrainingListeners(new RefreshListener(frozen, 2), new TrainingListenerAdapter() {
        @Override
        public void onTrainingBatch(Trainer trainer, BatchData batchData) {
          seen.add(block.referenceMoments());
        }
      });
      try (Trainer trainer = model.newTrainer(training)) {
        trainer.initialize(new Shape(8, 4));
        VirtualBatchNormBlock.refresh(network, trainer::forward, frozen);
        ArrayDataset data = new ArrayDataset.Builder()
            .setData(x)
            .optLabels(x.get(":,0:1"))
            .setSampling(16, false)
            .build();
        EasyTrain.fit(trainer, 1, data, null);

        ReferenceMoments last = block.referenceMoments();
        VirtualBatchNormBlock.refresh(network, trainer::forward, frozen);
        assertEquals(block.referenceMoments(), last, "after the epoch");
      }
      assertEquals(4, seen.size());
      assertEquals(3, new HashSet<>(seen).size(), "references of four batches");
      assertEquals(seen.get(1), seen.get(2), "nothing refreshes after the third batch");
    }
    assertRefused(
        IllegalArgumentException.class,
        () -> new RefreshListener(new NDList(), 0),
        "every is 0; expected 1");
  }

  @Test
  void aListenerRefusesAttachedBlocks() {
    SequentialBlock network = network(VirtualBatchNormBlock.builder()
        .optReferenceGradient(ReferenceGradient.ATTACHED)
        .build());
    try (Model model = model(network);
        Trainer trainer = trainer(model)) {
      RefreshListener listener = new RefreshListener(new NDList(normal(new Shape(8, 4))), 1);
      assertRefused(
          IllegalStateException.class, () -> listener.onEpoch(trainer), "ATTACHED", "DETACHED");
    }
  }

  private static float loss(Trainer trainer, NDArray x, NDArray y) {
    return trainer
        .getLoss()
        .evaluate(new NDList(y), trainer.evaluate(new NDList(x)))
        .getFloat();
  }

  @ParameterizedTest
  @EnumSource(ReferenceGradient.class)
  void stepsLeaveNoArraysBehind(ReferenceGradient referenceGradient) {
    SequentialBlock network = network(
        VirtualBatchNormBlock.builder().optReferenceGradient(referenceGradient).build(),
        VirtualBatchNormBlock.builder().optReferenceGradient(referenceGradient).build());
    try (Model model = model(network);
        Trainer trainer = trainer(model)) {
      trainer.initialize(new Shape(8, 4));
      NDList frozen = new NDList(normal(new Shape(16, 4)));
      step(trainer, network, frozen);
      int models = model.getNDManager().getManagedArrays().size();
      int callers = manager.getManagedArrays().size();
      for (int i = 0; i < 200; i++) {
        step(trainer, network, frozen);
        assertEquals(models, model.getNDManager().getManagedArrays().size());
        assertEquals(callers, manager.getManagedArrays().size());
      }
      assertTrue(frozen.head().toFloatArray().length > 0);
    }
  }

  private void step(Trainer trainer, Block network, NDList frozen) {
    try (NDManager batch = trainer.getManager().newSubManager()) {
      NDArray x = normal(batch, new Shape(8, 4));
      try (GradientCollector collector = trainer.newGradientCollector()) {
        VirtualBatchNormBlock.refresh(network, trainer::forward, frozen);
        collector.backward(trainer.forward(new NDList(x)).head().square().mean());
      }
      trainer.step();
    }
  }

  // Saving and loading

  private static byte[] save(Block block) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    block.saveParameters(new DataOutputStream(bytes));
    return bytes.toByteArray();
  }

  private void load(Block block, byte[] bytes) throws IOException, MalformedModelException {
    block.loadParameters(manager, new DataInputStream(new ByteArrayInputStream(bytes)));
  }

  @Test
  void whatIsLoadedPredictsTheSameBits() throws Exception {
    SequentialBlock saved = network(
        VirtualBatchNormBlock.builder().build(), VirtualBatchNormBlock.builder().build());
    saved.initialize(manager, DataType.FLOAT32, new Shape(16, 5));
    VirtualBatchNormBlock.refresh(saved, training(saved), new NDList(normal(new Shape(16, 5))));
    NDArray x = normal(new Shape(7, 5));
    VirtualBatchNormBlock first = VirtualBatchNormBlock.builder().build();
    SequentialBlock loaded = network(first, VirtualBatchNormBlock.builder().build());

    load(loaded, save(saved));

    assertArrayEquals(predict(saved, x), predict(loaded, x));
    assertTrue(first.hasReference());
    assertEquals(8, first.config().features());
    assertEquals(16, first.referenceMoments().examples());
    assertEquals(16, first.referenceMoments().elements());
  }

  @Test
  void whatWasTrainedByOneVariantIsLoadedToBeServedByAnother() throws Exception {
    VirtualBatchNormBlock saved = referenced(VirtualBatchNormBlock.builder());
    VirtualBatchNormBlock loaded = VirtualBatchNormBlock.builder()
        .optVariant(Variant.BATCH)
        .optServingVariant(Variant.REFERENCE_ONLY)
        .build();
    NDArray x = normal(SHAPE);

    load(loaded, save(saved));

    saved.setServingVariant(Variant.REFERENCE_ONLY);
    assertArrayEquals(predict(saved, x), predict(loaded, x));
    assertEquals(Variant.LIVE_BATCH, loaded.config().variant());
  }

  @Test
  void aBlockWithoutAReferenceIsLoadedWithoutOne() throws Exception {
    VirtualBatchNormBlock saved = initialized(VirtualBatchNormBlock.builder());
    VirtualBatchNormBlock loaded = referenced(VirtualBatchNormBlock.builder());

    load(loaded, save(saved));

    assertFalse(loaded.hasReference());
  }

  @Test
  void whatWasSavedWithOtherSettingsIsRefusedAndChangesNothing() throws Exception {
    VirtualBatchNormBlock block = referenced(VirtualBatchNormBlock.builder());
    NDArray x = normal(SHAPE);
    float[] before = predict(block, x);

    assertLoadRefused(
        block,
        VirtualBatchNormBlock.builder().optVariant(Variant.BATCH),
        "has variant batch; expected live-batch");
    assertLoadRefused(
        block,
        VirtualBatchNormBlock.builder().optEpsilon(1e-3),
        "has epsilon 0.001; expected 1.0E-5");
    assertLoadRefused(
        block, VirtualBatchNormBlock.builder().optAxis(-2), "has feature axis -2; expected 1");
    assertLoadRefused(
        block, VirtualBatchNormBlock.builder().optScale(false), "has scale false; expected true");
    assertLoadRefused(
        block, VirtualBatchNormBlock.builder().optCenter(false), "has center false; expected true");
    VirtualBatchNormBlock wide = VirtualBatchNormBlock.builder().build();
    wide.initialize(manager, DataType.FLOAT32, new Shape(4, FEATURES + 1, 5));
    assertRefused(
        MalformedModelException.class, () -> load(block, save(wide)), "has features 4; expected 3");
    assertArrayEquals(before, predict(block, x));
    VirtualBatchNormBlock fresh = VirtualBatchNormBlock.builder().optEpsilon(1).build();
    assertThrows(MalformedModelException.class, () -> load(fresh, save(block)));
    assertFalse(fresh.isInitialized());
  }

  private void assertLoadRefused(
      VirtualBatchNormBlock block, VirtualBatchNormBlock.Builder other, String message)
      throws IOException {
    byte[] bytes = save(referenced(other));
    assertRefused(MalformedModelException.class, () -> load(block, bytes), message);
  }

  @Test
  void clearForgetsTheReference() {
    VirtualBatchNormBlock block = referenced(VirtualBatchNormBlock.builder());
    block.clear();

    assertFalse(block.hasReference());
    assertFalse(block.isInitialized());
  }

  private static void assertRefused(
      Class<? extends Exception> type, Executable call, String... fragments) {
    String message = assertThrows(type, call).getMessage();
    for (String fragment : fragments) {
      assertTrue(message.contains(fragment), () -> "'" + fragment + "' expected in: " + message);
    }
  }
}
