package dev.vbn.examples.segan;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Block;
import ai.djl.nn.Parameter;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import dev.vbn.djl.VirtualBatchNormBlock;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/**
 * A generative adversarial network that takes noise out of speech (Pascual et al. 2017, in small): least
 * squares for the discriminator's judgement, and for the generator that and the absolute difference from
 * the clean speech.
 */
final class Segan implements AutoCloseable {
  private static final float RATE = 5e-4f;
  private static final float MOMENTUM = 0.5f;
  private static final float DIFFERENCE = 100;
  private static final long REFERENCE_SEED = 1000;

  /** What is said in training: by so many speakers, for so many seconds each. */
  private static final int SPEAKERS = 200;

  private static final int SECONDS = 2;

  private final SeganSettings settings;
  private final DiscriminatorNorm norm;
  private final float[][] said;
  private final Discriminator judge;
  private final Model discriminatorModel;
  private final Model generatorModel;
  private final Trainer discriminator;
  private final Trainer generator;

  /** Pairs of clean and noisy speech, the same in every step. */
  private final NDList frozen;

  /** Losses of one step: of the discriminator, of the generator, and the difference in the latter. */
  record Losses(float discriminator, float generator, float difference) {}

  /**
   * Networks as they are before training.
   *
   * @param said what {@link #speakers} say
   */
  Segan(DiscriminatorNorm norm, SeganSettings settings, float[][] said) {
    this.norm = norm;
    this.said = said;
    this.settings = settings;
    Engine.getEngine(settings.engine()).setRandomSeed((int) settings.seed());
    judge = new Discriminator(settings.width(), norm);
    generatorModel = model("generator", new Generator(settings.width()));
    discriminatorModel = model("discriminator", judge.network());
    generator = trainer(generatorModel, 1);
    discriminator = trainer(discriminatorModel, 2);
    NDManager manager = discriminatorModel.getNDManager();
    Batch reference = new Batch(new Random(settings.seed() + REFERENCE_SEED), manager);
    frozen = new NDList(reference.clean.concat(reference.noisy, 1));
    refresh();
  }

  /** What to train with. */
  static float[][] speakers(SeganSettings settings) {
    Random random = new Random(settings.seed());
    float[][] said = new float[SPEAKERS][];
    Arrays.setAll(said, i -> Speech.clean(random, SECONDS * Speech.RATE));
    return said;
  }

  private Model model(String name, Block network) {
    Model model = Model.newInstance(name, Device.cpu(), settings.engine());
    model.setBlock(network);
    return model;
  }

  private Trainer trainer(Model model, int channels) {
    Optimizer adam = Optimizer.adam()
        .optLearningRateTracker(Tracker.fixed(RATE))
        .optBeta1(MOMENTUM)
        .build();
    // The loss is computed below; DJL wants one all the same.
    Trainer trainer = model.newTrainer(new DefaultTrainingConfig(Loss.l2Loss())
        .optDevices(new Device[] {Device.cpu()})
        .optOptimizer(adam));
    trainer.initialize(new Shape(settings.batch(), channels, settings.window()));
    return trainer;
  }

  /** Examples of clean speech, and of the same with noise. */
  private final class Batch {
    private final NDArray clean;
    private final NDArray noisy;

    Batch(Random random, NDManager manager) {
      int window = settings.window();
      float[] cleanSamples = new float[settings.batch() * window];
      float[] noisySamples = new float[settings.batch() * window];
      for (int i = 0; i < settings.batch(); i++) {
        float[] speaker = said[random.nextInt(said.length)];
        int start = random.nextInt(speaker.length - window);
        float[] part = Arrays.copyOfRange(speaker, start, start + window);
        float[] noise = Speech.noise(random, window, 10 * random.nextDouble());
        System.arraycopy(part, 0, cleanSamples, i * window, window);
        System.arraycopy(Speech.sum(part, noise), 0, noisySamples, i * window, window);
      }
      Shape shape = new Shape(settings.batch(), 1, window);
      clean = manager.create(cleanSamples, shape);
      noisy = manager.create(noisySamples, shape);
    }
  }

  /** One step of the discriminator, then one of the generator. */
  Losses step(int number) {
    try (NDManager step = generatorModel.getNDManager().newSubManager()) {
      Batch batch = new Batch(new Random(settings.seed() + 7919L * number), step);
      float discriminated = discriminate(batch);
      return enhance(batch, discriminated);
    }
  }

  private float discriminate(Batch batch) {
    NDArray enhanced = generator.evaluate(new NDList(batch.noisy)).singletonOrThrow();
    clearGradients(discriminatorModel); // the generator's step leaves some there
    NDArray loss;
    try (GradientCollector collector = discriminator.newGradientCollector()) {
      NDArray ofClean = judge(batch.clean, batch);
      NDArray ofEnhanced = judge(enhanced, batch);
      loss = ofClean.sub(1).square().mean().add(ofEnhanced.square().mean());
      collector.backward(loss);
    }
    discriminator.step();
    refresh();
    return loss.getFloat();
  }

  private Losses enhance(Batch batch, float discriminated) {
    NDArray loss;
    NDArray difference;
    try (GradientCollector collector = generator.newGradientCollector()) {
      NDArray enhanced = generator.forward(new NDList(batch.noisy)).singletonOrThrow();
      difference = enhanced.sub(batch.clean).abs().mean();
      NDArray weight = difference.getManager().full(new Shape(1), DIFFERENCE);
      loss = judge(enhanced, batch)
          .sub(1)
          .square()
          .mean()
          .add(difference.mul(weight).sum());
      collector.backward(loss);
    }
    generator.step();
    return new Losses(discriminated, loss.getFloat(), difference.getFloat());
  }

  private NDArray judge(NDArray speech, Batch batch) {
    return discriminator.forward(new NDList(speech.concat(batch.noisy, 1))).singletonOrThrow();
  }

  /** Once for each step of the discriminator: until the next one, its layers hand on the same. */
  private void refresh() {
    if (norm == DiscriminatorNorm.VIRTUAL) {
      VirtualBatchNormBlock.refresh(discriminatorModel.getBlock(), discriminator::forward, frozen);
    }
  }

  private static void clearGradients(Model model) {
    for (Parameter parameter : model.getBlock().getParameters().values()) {
      if (parameter.requiresGradient()) {
        try (NDArray gradient = parameter.getArray().getGradient()) {
          gradient.subi(gradient);
        }
      }
    }
  }

  /** Takes the noise out of a signal of any length: windows that overlap by half, faded over. */
  float[] enhance(float[] noisy) {
    int window = settings.window();
    int hop = window / 2;
    int windows = (noisy.length + hop - 1) / hop + 1;
    float[] inputs = new float[windows * window];
    for (int i = 0; i < windows; i++) {
      int from = Math.max(0, (i - 1) * hop);
      int to = Math.min(noisy.length, (i + 1) * hop);
      System.arraycopy(noisy, from, inputs, i * window + from - (i - 1) * hop, to - from);
    }
    float[] outputs;
    try (NDManager scope = generatorModel.getNDManager().newSubManager()) {
      NDArray x = scope.create(inputs, new Shape(windows, 1, window));
      outputs = generator.evaluate(new NDList(x)).singletonOrThrow().toFloatArray();
    }
    float[] enhanced = new float[noisy.length];
    for (int i = 0; i < outputs.length; i++) {
      int at = (i / window - 1) * hop + i % window;
      if (at >= 0 && at < enhanced.length) {
        double fade = Math.sin(Math.PI * (i % window + 0.5) / window);
        enhanced[at] += (float) (fade * fade * outputs[i]);
      }
    }
    return enhanced;
  }

  /** What the discriminator says of a signal next to the noisy one: 1 for clean, 0 for enhanced. */
  float[] judge(float[] speech, float[] noisy) {
    int windows = noisy.length / settings.window();
    float[] pairs = pairs(speech, noisy, settings.window());
    try (NDManager scope = discriminatorModel.getNDManager().newSubManager()) {
      NDArray x = scope.create(pairs, new Shape(windows, 2, settings.window()));
      return discriminator.evaluate(new NDList(x)).singletonOrThrow().toFloatArray();
    }
  }

  /** Whole windows of both, in turn: {@code (windows, 2, window)}. */
  static float[] pairs(float[] speech, float[] noisy, int window) {
    float[] pairs = new float[noisy.length / window * 2 * window];
    for (int i = 0; i < pairs.length / (2 * window); i++) {
      System.arraycopy(speech, i * window, pairs, 2 * i * window, window);
      System.arraycopy(noisy, i * window, pairs, (2 * i + 1) * window, window);
    }
    return pairs;
  }

  /** Writes both networks, free of DJL. */
  void save(Path file) throws IOException {
    NamedTensors state = judge.state();
    Map<String, HostTensor> tensors = new LinkedHashMap<>(state.tensors());
    for (var child : generatorModel.getBlock().getChildren()) {
      String name = child.getKey();
      Discriminator.put(
          tensors, "generator." + name.substring(name.indexOf('_') + 1) + ".", child.getValue());
    }
    Map<String, String> texts = new LinkedHashMap<>(state.texts());
    texts.put("window", Integer.toString(settings.window()));
    Safetensors.write(file, new NamedTensors(tensors, texts));
  }

  @Override
  public void close() {
    generator.close();
    discriminator.close();
    generatorModel.close();
    discriminatorModel.close();
  }
}
