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

  /** Neighbouring features that a thread adds up at once where there are no positions behind them. */
  private static final int COLUMN = 4;

  // How elements are read and written: one by one, or 16 bytes of neighbours at once.
  private static final int ALONE = 0;
  private static final int OF_A_RUN = 1;
  private static final int OF_FEATURES = 2;

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
  private final int vector;
  private final int pack;
  private final int segments;
  private final int team;

  /** Columns of a row that a block adds up; 0 where it adds up runs. */
  private final int width;

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
    boolean atOnce = geometry.counted() == null && aligned(tensors);
    vector = atOnce && after % most == 0
        ? OF_A_RUN
        : atOnce && after == 1 && features % most == 0 ? OF_FEATURES : ALONE;
    pack = vector == ALONE ? 1 : most;
    segments = Math.ceilDiv(after, SEGMENT);

    int columns = powerOfTwo(Math.min(THREADS, features / COLUMN));
    boolean byColumn = atOnce
        && after == 1
        && features % COLUMN == 0
        && dtype != DType.FLOAT64
        && groupRows >= THREADS / columns;
    width = byColumn ? columns : 0;
    int run = Math.min(after, SEGMENT);
    int ofRun = vector == OF_A_RUN ? most : 1;
    team = byColumn
        ? THREADS / columns
        : Math.min(THREADS, Integer.highestOneBit(Math.max(1, run / ofRun / RUN_PACKS_PER_THREAD)));
    long threads = byColumn ? (long) blocksAcross() * THREADS : (long) features * team;
    long items = groupRows * segments;
    long wanted = Math.ceilDiv(items * run, (long) team * ofRun * PACKS_PER_THREAD);
    long busy = Math.max(1, kernels.enoughThreads() / threads);
    itemsPerUnit = Math.ceilDiv(items, Math.min(Math.max(wanted, 1), Math.min(busy, ENOUGH_UNITS)));
    unitsPerGroup = Math.toIntExact(Math.ceilDiv(items, itemsPerUnit));
  }

  /** Blocks that have all columns of a row. */
  private int blocksAcross() {
    return Math.ceilDiv(features / COLUMN, width);
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

  /** Launches a kernel that adds up columns: a block for each unit and for what it has of a row. */
  private void launchByColumn(String kernel, long... arguments) {
    long blocks = groups * unitsPerGroup * blocksAcross();
    kernels.launch("vbn_" + kernel + type, blocks, 1, THREADS, arguments);
  }

  /** Sums that statistics are made of. */
  void sums(long x, long sums) {
    if (width > 0) {
      launchByColumn(
          "column_sums_", x, sums, groupRows, features, itemsPerUnit, unitsPerGroup, width);
      return;
    }
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
        vector == OF_A_RUN ? 1 : 0);
  }

  /**
   * Sums that gradients are made of.
   *
   * @param centers what the upstream is asked around, of each feature; 0 for the live means
   * @param live whether those are asked for at all
   */
  void gradientSums(long x, long upstream, long centers, boolean live, long sums) {
    if (width > 0) {
      launchByColumn(
          "column_gradient_sums_",
          x,
          upstream,
          centers,
          sums,
          groupRows,
          features,
          itemsPerUnit,
          unitsPerGroup,
          width,
          live ? 1 : 0);
      return;
    }
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
        vector == OF_A_RUN ? 1 : 0,
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
    int across = powerOfTwo(Math.min(THREADS, places));
    long gridX = Math.ceilDiv(places, across);
    int step = THREADS / across;
    long wantedY = Math.clamp(ENOUGH_BLOCKS / gridX, 1, MOST_BLOCKS_ALONG_Y);
    long rowsPerBlock = Math.max(step, Math.ceilDiv(Math.ceilDiv(rows, wantedY), step) * step);
    long[] numbers = {lines, rows, groupRows, rowsPerBlock, features, after, across, vector};
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
