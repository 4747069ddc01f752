package dev.vbn.cuda;

import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

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
  private static final int LINE_NUMBERS = 4; // of a group
  private static final int ITEM_BYTES = 12; // of a segment of a row of a mask
  private static final int POSITIONS_PER_THREAD = 8; // of a mask, about

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
  private final long exampleRows;
  private final boolean vector;
  private final int pack;
  private final int segments;
  private final int team;
  private final long itemsPerUnit;
  private final int unitsPerGroup;

  /** Address of {@link #maskBytes} that say what counts; 0 where everything does. */
  private long mask;

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
    exampleRows = geometry.before();
    int most = 16 / CudaTensor.elementBytes(dtype);
    vector = geometry.counted() == null && after % most == 0 && aligned(tensors);
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

  /** Items, and behind them a byte for each position. */
  long maskBytes() {
    return itemsBytes() + rows * after;
  }

  private long itemsBytes() {
    return rows * segments * ITEM_BYTES;
  }

  /** Where the bytes of {@link Counted#positions} go. */
  long positionsOf(long memory) {
    return memory + itemsBytes();
  }

  /**
   * Has the coming launches read only what counts.
   *
   * @param memory of {@link #maskBytes}, until they are done
   * @param lengths on the device, of each example; 0 where the bytes of the positions are there
   * @param of what the lengths mean; null where there are none
   */
  void mask(long memory, long lengths, Counted.@Nullable Lengths of) {
    int itemTeam = powerOfTwo(Math.min(THREADS, Math.min(after, SEGMENT) / POSITIONS_PER_THREAD));
    kernels.launch(
        "vbn_mask",
        Math.ceilDiv(rows * segments, THREADS / itemTeam),
        1,
        THREADS,
        lengths,
        positionsOf(memory),
        memory,
        rows,
        exampleRows,
        after,
        of == null ? 1 : of.along(),
        of == null ? 1 : of.inner(),
        SEGMENT,
        segments,
        itemTeam);
    mask = memory;
  }

  /** Launches a kernel on the batch, or that for a masked one, which takes the mask besides. */
  private void launch(String kernel, boolean items, long gridX, long gridY, long... arguments) {
    if (mask == 0) {
      kernels.launch("vbn_" + kernel + type, gridX, gridY, THREADS, arguments);
      return;
    }
    int count = arguments.length;
    long[] all = Arrays.copyOf(arguments, count + (items ? 2 : 1));
    all[count] = positionsOf(mask);
    if (items) {
      all[count + 1] = mask;
    }
    kernels.launch("vbn_masked_" + kernel + type, gridX, gridY, THREADS, all);
  }

  /** Sums that statistics are made of. */
  void sums(long x, long sums) {
    launch(
        "sums_",
        true,
        Math.ceilDiv(units(), THREADS / team),
        1,
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
    launch(
        "gradient_sums_",
        true,
        Math.ceilDiv(units(), THREADS / team),
        1,
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
        mixTeam);
  }

  void normalize(long x, long output, long lines) {
    eachElement("normalize_", lines, x, output);
  }

  /** @param x 0 where the weight is */
  void differentiate(long x, long upstream, long output, long lines) {
    eachElement("differentiate_", lines, x, upstream, output);
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
    launch(
        "differentiate_twice_",
        false,
        Math.ceilDiv(groups * features, THREADS / groupTeam),
        1,
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
    long[] numbers = {lines, rows, groupRows, rowsPerBlock, features, after, width, vector ? 1 : 0};
    long[] arguments = Arrays.copyOf(tensors, tensors.length + numbers.length);
    System.arraycopy(numbers, 0, arguments, tensors.length, numbers.length);
    launch(kernel, false, gridX, Math.ceilDiv(rows, rowsPerBlock), arguments);
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

  /** Bytes of the numbers that {@link #lines} takes. */
  long lineNumbersBytes() {
    return groups * features * LINE_NUMBERS * Double.BYTES;
  }

  /** @param numbers centers, slopes, offsets and factors, each of all groups */
  void lines(long numbers, long lines) {
    kernels.launch(
        "vbn_lines",
        Math.ceilDiv(groups * features, THREADS),
        1,
        THREADS,
        numbers,
        lines,
        groups * features);
  }
}
