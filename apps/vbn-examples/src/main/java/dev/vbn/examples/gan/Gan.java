package dev.vbn.examples.gan;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.Parameter;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import dev.vbn.djl.VirtualBatchNormBlock;
import java.util.Random;
import java.util.function.UnaryOperator;

/**
 * Two small networks: a generator that makes digits from noise, and a discriminator that learns to
 * tell them from written ones (Goodfellow et al. 2014, with the non-saturating loss). Pixels are -1
 * (paper) to 1 (ink).
 */
final class Gan implements AutoCloseable {
  private static final String ENGINE = "PyTorch";
  private static final float SLOPE = 0.2f;
  private static final float MOMENTUM = 0.5f;

  private final GanSettings settings;
  private final GeneratorNorm norm;
  private final float[][] digits;
  private final Random random;
  private final Model generatorModel;
  private final Model discriminatorModel;
  private final Trainer generator;
  private final Trainer discriminator;

  /** Noise that makes the reference batch, the same in every step. */
  private final NDList frozen;

  /** -1 for the logit of a written digit, 1 for that of a generated one. */
  private final NDArray signs;

  /** Losses of one step. */
  record Losses(float discriminator, float generator) {}

  Gan(GeneratorNorm norm, float[][] digits, GanSettings settings) {
    this.norm = norm;
    this.digits = digits;
    this.settings = settings;
    random = new Random(settings.seed());
    Engine.getEngine(ENGINE).setRandomSeed((int) settings.seed());
    discriminatorModel = model("discriminator", discriminatorNetwork());
    generatorModel = model("generator", generatorNetwork());
    discriminator = trainer(discriminatorModel, Digits.PIXELS);
    generator = trainer(generatorModel, settings.noise());
    NDManager manager = generatorModel.getNDManager();
    frozen = new NDList(noise(manager, random, settings.reference()));
    NDArray written = manager.ones(new Shape(settings.batch(), 1)).neg();
    signs = written.concat(manager.ones(new Shape(settings.batch(), 1)), 0);
  }

  private Block generatorNetwork() {
    return new SequentialBlock()
        .add(Linear.builder().setUnits(settings.width()).build())
        .add(norm.block())
        .add(Activation.reluBlock())
        .add(Linear.builder().setUnits(2L * settings.width()).build())
        .add(norm.block())
        .add(Activation.reluBlock())
        .add(Linear.builder().setUnits(Digits.PIXELS).build())
        .add(Activation.tanhBlock());
  }

  private Block discriminatorNetwork() {
    return new SequentialBlock()
        .add(Linear.builder().setUnits(2L * settings.width()).build())
        .add(Activation.leakyReluBlock(SLOPE))
        .add(Linear.builder().setUnits(settings.width()).build())
        .add(Activation.leakyReluBlock(SLOPE))
        .add(Linear.builder().setUnits(1).build());
  }

  private static Model model(String name, Block network) {
    Model model = Model.newInstance(name, Device.cpu(), ENGINE);
    model.setBlock(network);
    return model;
  }

  private Trainer trainer(Model model, int inputs) {
    Optimizer adam = Optimizer.adam()
        .optLearningRateTracker(Tracker.fixed(settings.learningRate()))
        .optBeta1(MOMENTUM)
        .build();
    // The loss is computed below; DJL wants one all the same.
    Trainer trainer = model.newTrainer(new DefaultTrainingConfig(Loss.l2Loss())
        .optDevices(new Device[] {Device.cpu()})
        .optOptimizer(adam));
    trainer.initialize(new Shape(settings.batch(), inputs));
    return trainer;
  }

  /** One step of the discriminator, then one of the generator. */
  Losses step() {
    try (NDManager step = generatorModel.getNDManager().newSubManager()) {
      NDArray written = written(step);
      NDArray forged = generate(noise(step, random, settings.batch()), generator::forward);
      float discriminatorLoss = discriminate(written.concat(forged, 0));
      float generatorLoss = deceive(noise(step, random, settings.batch()));
      return new Losses(discriminatorLoss, generatorLoss);
    }
  }

  private float discriminate(NDArray images) {
    clearGradients(discriminatorModel); // deceive() leaves some there
    NDArray loss;
    try (GradientCollector collector = discriminator.newGradientCollector()) {
      NDArray logits = discriminator.forward(new NDList(images)).head();
      loss = Activation.softPlus(logits.mul(signs)).mean();
      collector.backward(loss);
    }
    discriminator.step();
    return loss.getFloat();
  }

  private float deceive(NDArray noise) {
    NDArray loss;
    try (GradientCollector collector = generator.newGradientCollector()) {
      NDArray forged = generate(noise, generator::forward);
      NDArray logits = discriminator.forward(new NDList(forged)).head();
      loss = Activation.softPlus(logits.neg()).mean();
      collector.backward(loss);
    }
    generator.step();
    return loss.getFloat();
  }

  private NDArray generate(NDArray noise, UnaryOperator<NDList> forward) {
    if (norm == GeneratorNorm.VIRTUAL) {
      // The generator has changed since, and with it the statistics of the reference batch.
      VirtualBatchNormBlock.refresh(generatorModel.getBlock(), forward, frozen);
    }
    return forward.apply(new NDList(noise)).singletonOrThrow();
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

  private NDArray written(NDManager manager) {
    float[] pixels = new float[settings.batch() * Digits.PIXELS];
    for (int i = 0; i < settings.batch(); i++) {
      float[] image = digits[random.nextInt(digits.length)];
      for (int pixel = 0; pixel < Digits.PIXELS; pixel++) {
        pixels[i * Digits.PIXELS + pixel] = 2 * image[pixel] - 1;
      }
    }
    return manager.create(pixels, new Shape(settings.batch(), Digits.PIXELS));
  }

  private NDArray noise(NDManager manager, Random source, int examples) {
    float[] values = new float[examples * settings.noise()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) source.nextGaussian();
    }
    return manager.create(values, new Shape(examples, settings.noise()));
  }

  /** Digits as the trained generator makes them, by rows of pixels from 0 (paper) to 1 (ink). */
  float[][] samples(long seed, int count) {
    try (NDManager scope = generatorModel.getNDManager().newSubManager()) {
      return images(generate(noise(scope, new Random(seed), count), generator::evaluate));
    }
  }

  /**
   * What becomes of one noise vector in training when its companions in the batch differ each time.
   */
  float[][] sampleAmongCompanions(long seed, int batches) {
    float[][] samples = new float[batches][];
    Random source = new Random(seed);
    try (NDManager scope = generatorModel.getNDManager().newSubManager()) {
      NDArray watched = noise(scope, source, 1);
      for (int i = 0; i < batches; i++) {
        NDArray batch = watched.concat(noise(scope, source, settings.batch() - 1), 0);
        samples[i] = images(generate(batch, generator::forward))[0];
      }
    }
    return samples;
  }

  private static float[][] images(NDArray batch) {
    float[] pixels = batch.toFloatArray();
    float[][] images = new float[pixels.length / Digits.PIXELS][Digits.PIXELS];
    for (int i = 0; i < pixels.length; i++) {
      images[i / Digits.PIXELS][i % Digits.PIXELS] = (pixels[i] + 1) / 2;
    }
    return images;
  }

  @Override
  public void close() {
    generator.close();
    discriminator.close();
    generatorModel.close();
    discriminatorModel.close();
  }
}
