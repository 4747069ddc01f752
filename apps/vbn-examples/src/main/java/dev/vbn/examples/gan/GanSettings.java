package dev.vbn.examples.gan;

/**
 * Sizes and budget, the same for every normalization.
 *
 * @param seed of parameters, noise and order of the data
 * @param steps training steps
 * @param batch examples of a live batch
 * @param reference examples of the reference batch
 * @param noise length of the noise that a digit is made from
 * @param width units of the narrower hidden layer of each network; the other has twice as many
 * @param learningRate of both networks
 */
record GanSettings(
    long seed, int steps, int batch, int reference, int noise, int width, float learningRate) {

  static final GanSettings FULL = new GanSettings(7, 6000, 64, 64, 32, 128, 5e-4f);

  /** For seeing that everything works. */
  static final GanSettings SHORT = new GanSettings(7, 20, 16, 16, 8, 16, 5e-4f);
}
