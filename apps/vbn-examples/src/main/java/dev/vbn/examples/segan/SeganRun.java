package dev.vbn.examples.segan;

import java.util.Arrays;
import java.util.List;

/**
 * What came of one normalization.
 *
 * @param losses step by step
 * @param seconds that each step took
 * @param enhanced the test signal without its noise
 * @param ofClean what the discriminator says of the clean signal's windows
 * @param ofEnhanced and of the enhanced signal's
 */
record SeganRun(
    DiscriminatorNorm norm,
    List<Segan.Losses> losses,
    double[] seconds,
    float[] enhanced,
    float[] ofClean,
    float[] ofEnhanced) {

  /** Median of the later half, when all is compiled. */
  double secondsPerStep() {
    double[] later = Arrays.copyOfRange(seconds, seconds.length / 2, seconds.length);
    Arrays.sort(later);
    return later[later.length / 2];
  }

  /** Of the generator, in the last tenth of the training. */
  double lastDifference() {
    int last = Math.max(1, losses.size() / 10);
    return losses.subList(losses.size() - last, losses.size()).stream()
        .mapToDouble(Segan.Losses::difference)
        .average()
        .orElseThrow();
  }
}
