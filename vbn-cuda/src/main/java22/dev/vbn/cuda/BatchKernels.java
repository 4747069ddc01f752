package dev.vbn.cuda;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.Locale;

/**
 * The kernels on one batch: the numbers of their launches. What the words mean says {@code vbn.cu}.
 *
 * <p>How a batch is cut decides in which order sums are added up, and so their last bits. It depends
 * on shape and device alone, and in {@link Scope#EXAMPLE} not on the number of examples: an example's
 * bits do not depend on its companions.
 */
final class BatchKernels {
  private static final int THREADS = 256; // of a block, in every kernel
  private static final int SEGMENT = 8192;
  private static final int SUMS = 5; // of a unit
  private static final int LINE_BYTES = 48; // of a group, in both arithmetics
  private static final int GRADIENTS = 4; // of a group

  /**
   * Packs that a thread adds up, about, before threads are added up: enough to hide the latter, and
   * few enough for two rounds of blocks on the largest devices from 32 MB on.
   */
  private static final int PACKS_PER_THREAD = 8;

  /** Packs of a run for each thread of a team at least, lest threads have next to nothing to add up. */
  private static final int RUN_PACKS_PER_THREAD = 4;

  private static final int ENOUGH_UNITS = 1 << 20;
  private static final int ENOUGH_BLOCKS = 8192;
  private static final int MOST_BLOCKS_ALONG_Y = 65535;

  private final KernelModule kernels;
  private final String type;
  private final String parameterType;
  private final int features;
  private final int after;
  private final long rows;
  private final long groups;
  private final long groupRows;
  private final boolean vector;
  private final int pack;
  private final int segments;
  private final int team;
  private final long itemsPerUnit;
  private final int unitsPerGroup;

  /** @param tensors addresses of all tensors of the batch's shape */
  BatchKernels(KernelModule kernels, DType dtype, Geometry geometry, Scope scope, long... tensors) {
    this.kernels = kernels;
    type = dtype.name().toLowerCase(Locale.ROOT);
    parameterType = dtype.parameterType().name().toLowerCase(Locale.ROOT);
    features = inInt("features", geometry.features());
    after = inInt("positions behind the feature axis", geometry.after());
    rows = geometry.batch() * geometry.before();
    groups = scope == Scope.EXAMPLE ? geometry.batch() : 1;
    groupRows = rows / groups;
    int most = 16 / CudaTensor.elementBytes(dtype);
    vector = after % most == 0 && aligned(tensors);
    pack = vector ? most : 1;
    segments = Math.ceilDiv(after, SEGMENT);

    int run = Math.min(after, SEGMENT);
    team = Math.min(THREADS, Integer.highestOneBit(Math.max(1, run / pack / RUN_PACKS_PER_THREAD)));
    long items = groupRows * segments;
    long wanted = Math.ceilDiv(items * run, (long) team * pack * PACKS_PER_THREAD);
    long busy = Math.max(1, kernels.enoughThreads() / ((long) features * team));
    itemsPerUnit = Math.ceilDiv(items, Math.min(Math.max(wanted, 1), Math.min(busy, ENOUGH_UNITS)));
    unitsPerGroup = Math.toIntExact(Math.ceilDiv(items, itemsPerUnit));
  }

  private static int inInt(String what, long value) {
    if (value > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          value + " " + what + "; expected at most " + Integer.MAX_VALUE);
    }
    return (int) value;
  }

  private static boolean aligned(long[] pointers) {
    return Arrays.stream(pointers).allMatch(pointer -> pointer % 16 == 0);
  }

  /** Smallest power of two that is no less. */
  private static int powerOfTwo(long value) {
    return value <= 1 ? 1 : Math.toIntExact(Long.highestOneBit(value - 1) * 2);
  }

  private long units() {
    return groups * unitsPerGroup * features;
  }

  long sumsBytes() {
    return units() * SUMS * Double.BYTES;
  }

  long linesBytes() {
    return groups * features * LINE_BYTES;
  }

  long gradientsBytes() {
    return groups * features * GRADIENTS * Double.BYTES;
  }

  /** Sums that statistics are made of. */
  void sums(long x, long sums) {
    kernels.launch(
        "vbn_sums_" + type,
        Math.ceilDiv(units(), THREADS / team),
        1,
        THREADS,
        x,
        sums,
        groupRows,
        features,
        after,
        SEGMENT,
        segments,
        itemsPerUnit,
        unitsPerGroup,
        units(),
        team,
        vector ? 1 : 0);
  }

  /**
   * Sums that gradients are made of.
   *
   * @param centers what the upstream is asked around, of each feature; 0 for the live means
   * @param live whether those are asked for at all
   */
  void gradientSums(long x, long upstream, long centers, boolean live, long sums) {
    kernels.launch(
        "vbn_gradient_sums_" + type,
        Math.ceilDiv(units(), THREADS / team),
        1,
        THREADS,
        x,
        upstream,
        centers,
        sums,
        groupRows,
        features,
        after,
        SEGMENT,
        segments,
        itemsPerUnit,
        unitsPerGroup,
        units(),
        team,
        vector ? 1 : 0,
        live ? 1 : 0);
  }

  /**
   * @param sums 0 where nothing live is mixed in
   * @param mean 0 where the mixed statistics are not asked for; the variance likewise
   * @param lines 0 where only statistics are asked for
   */
  void mixForward(
      long sums,
      long referenceMean,
      long referenceVariance,
      long gamma,
      long beta,
      long mean,
      long variance,
      long lines,
      double weight,
      double epsilon) {
    int units = sums == 0 ? 0 : unitsPerGroup;
    int mixTeam = mixTeam(units);
    kernels.launch(
        "vbn_mix_forward_" + parameterType,
        Math.ceilDiv(groups * features, THREADS / mixTeam),
        1,
        THREADS,
        sums,
        referenceMean,
        referenceVariance,
        gamma,
        beta,
        mean,
        variance,
        lines,
        Double.doubleToRawLongBits(weight),
        Double.doubleToRawLongBits(epsilon),
        groups,
        features,
        units,
        mixTeam);
  }

  private static int mixTeam(int units) {
    return powerOfTwo(Math.min(64, Math.ceilDiv(units, 4)));
  }

  /** @param centers those of the sums */
  void mixBackward(
      long sums,
      long centers,
      long referenceMean,
      long referenceVariance,
      long gamma,
      long lines,
      long gradients,
      double weight,
      double epsilon) {
    int mixTeam = mixTeam(unitsPerGroup);
    kernels.launch(
        "vbn_mix_backward_" + parameterType,
        Math.ceilDiv(groups * features, THREADS / mixTeam),
        1,
        THREADS,
        sums,
        centers,
        referenceMean,
        referenceVariance,
        gamma,
        lines,
        gradients,
        Double.doubleToRawLongBits(weight),
        Double.doubleToRawLongBits(epsilon),
        groups,
        features,
        unitsPerGroup,
        Double.doubleToRawLongBits((double) groupRows * after),
        mixTeam);
  }

  void normalize(long x, long output, long lines) {
    eachElement("vbn_normalize_", lines, x, output);
  }

  /** @param x 0 where the weight is */
  void differentiate(long x, long upstream, long output, long lines) {
    eachElement("vbn_differentiate_", lines, x, upstream, output);
  }

  /**
   * The gradients of a backward pass.
   *
   * @param mean that normalised each group; the variance likewise
   * @param vgamma 0 where dgamma has no upstream gradient; vbeta likewise
   * @param gradients takes the part of each group in the gradient of gamma
   */
  void differentiateTwice(
      long x,
      long upstream,
      long second,
      long mean,
      long variance,
      long gamma,
      long vgamma,
      long vbeta,
      long ofX,
      long ofUpstream,
      long gradients,
      double weight,
      double epsilon) {
    int groupTeam = powerOfTwo(Math.min(THREADS, Math.ceilDiv(groupRows * after, 4)));
    kernels.launch(
        "vbn_differentiate_twice_" + type,
        Math.ceilDiv(groups * features, THREADS / groupTeam),
        1,
        THREADS,
        x,
        upstream,
        second,
        mean,
        variance,
        gamma,
        vgamma,
        vbeta,
        ofX,
        ofUpstream,
        gradients,
        Double.doubleToRawLongBits(weight),
        Double.doubleToRawLongBits(epsilon),
        groups,
        groupRows,
        features,
        after,
        groupTeam);
  }

  private void eachElement(String kernel, long lines, long... tensors) {
    long places = (long) features * after / pack;
    int width = powerOfTwo(Math.min(THREADS, places));
    long gridX = Math.ceilDiv(places, width);
    int step = THREADS / width;
    long wantedY = Math.clamp(ENOUGH_BLOCKS / gridX, 1, MOST_BLOCKS_ALONG_Y);
    long rowsPerBlock = Math.max(step, Math.ceilDiv(Math.ceilDiv(rows, wantedY), step) * step);
    long[] arguments = Arrays.copyOf(tensors, tensors.length + 10);
    long[] numbers = {lines, rows, groupRows, rowsPerBlock, features, after, width, vector ? 1 : 0};
    System.arraycopy(numbers, 0, arguments, tensors.length, numbers.length);
    kernels.launch(kernel + type, gridX, Math.ceilDiv(rows, rowsPerBlock), THREADS, arguments);
  }

  /** @param dMean 0 where the reference statistics get no gradient */
  void sumGroups(long gradients, long dgamma, long dbeta, long dMean, long dVariance) {
    kernels.launch(
        "vbn_sum_groups_" + parameterType,
        Math.ceilDiv(features, THREADS),
        1,
        THREADS,
        gradients,
        dgamma,
        dbeta,
        dMean,
        dVariance,
        groups,
        features);
  }

  /** @param elements of one feature in the whole reference batch */
  void referenceLines(long mean, long dMean, long dVariance, long lines, long elements) {
    kernels.launch(
        "vbn_reference_lines",
        Math.ceilDiv(features, THREADS),
        1,
        THREADS,
        mean,
        dMean,
        dVariance,
        lines,
        Double.doubleToRawLongBits((double) elements),
        features);
  }
}
