package dev.vbn.examples.segan;

/**
 * Sizes and budget, the same for every normalization.
 *
 * @param engine of DJL, PyTorch or MXNet
 * @param seed of parameters, speech and noise
 * @param steps training steps
 * @param batch examples of a live batch, and of the reference batch
 * @param window samples of an example
 * @param width channels of the first convolution of each network
 * @param seconds of the speech that is enhanced to measure and to listen to
 */
record SeganSettings(
    String engine, long seed, int steps, int batch, int window, int width, double seconds) {

  static final SeganSettings FULL = new SeganSettings("PyTorch", 7, 600, 16, 2048, 12, 24);

  /** For seeing that everything works. */
  static final SeganSettings SHORT = new SeganSettings("PyTorch", 7, 30, 4, 512, 4, 1.5);

  SeganSettings withEngine(String name) {
    return new SeganSettings(name, seed, steps, batch, window, width, seconds);
  }

  SeganSettings withSeed(long other) {
    return new SeganSettings(engine, other, steps, batch, window, width, seconds);
  }

  SeganSettings withSteps(int number) {
    return new SeganSettings(engine, seed, number, batch, window, width, seconds);
  }
}
