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

  private static final int MOST_IN_A_TILE = 64; // features

  // Of a row a tile has what one access to memory brings, better what a warp reads at once.
  private static final int LEAST_TILE_ROW_BYTES = 32;
  private static final int GOOD_TILE_ROW_BYTES = 128;

  /** Elements of a tile that are worth a block. */
  private static final int TILE_ELEMENTS = 16 * THREADS;

  private static final int ENOUGH_UNITS = 1 << 20;
  private static final int ENOUGH_BLOCKS = 8192;
  private static final int MOST_BLOCKS_ALONG_Y = 65535;

  private final KernelModule kernels;
  private final Plan plan;
  private final String type;
  private final int elementBytes;
  private final String parameterType;
  private final int features;
  private final int after;
  private final long rows;
  private final long groups;
  private final long groupRows;
  private final long exampleRows;
  private final Scope scope;
  private final boolean masked;
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
  BatchKernels(
      KernelModule kernels,
      Plan plan,
      DType dtype,
      Geometry geometry,
      Scope scope,
      long... tensors) {
    this.kernels = kernels;
    this.plan = plan;
    this.scope = scope;
    masked = geometry.counted() != null;
    type = dtype.name().toLowerCase(Locale.ROOT);
    parameterType = dtype.parameterType().name().toLowerCase(Locale.ROOT);
    features = inInt("features", geometry.features());
    after = inInt("positions behind the feature axis", geometry.after());
    rows = geometry.batch() * geometry.before();
    groups = scope == Scope.EXAMPLE ? geometry.batch() : 1;
    groupRows = rows / groups;
    exampleRows = geometry.before();
    elementBytes = CudaTensor.elementBytes(dtype);
    int most = 16 / elementBytes;
    boolean atOnce = !masked && aligned(tensors);
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

  /**
   * How a group is cut into tiles, of which a block holds one, or two of as many elements.
   *
   * @param strip features of a tile
   * @param strips tiles of a group
   * @param pitch elements from one feature to the next
   * @param bytes of one, a multiple of 16
   */
  record Tiles(int strip, int strips, int pitch, int bytes) {}

  /**
   * Tiles that blocks hold, where one launch is to do it all; null where more are.
   *
   * @param held how many tiles a block holds at once
   */
  @Nullable
  Tiles tiles(int held) {
    long elements = groupRows * after;
    if (plan == Plan.THREE || masked || elements * elementBytes > kernels.tileBytes()) {
      return null;
    }
    // An odd number of packs from one feature to the next: neighbours are in different banks.
    int ofRun = vector == OF_A_RUN ? pack : 1;
    int pitch = ofRun * ((int) elements / ofRun | 1);
    int feature = pitch * elementBytes * held;
    int row = after * elementBytes;
    int strip = 1;
    while (strip < MOST_IN_A_TILE && strip * row < LEAST_TILE_ROW_BYTES) {
      strip *= 2;
    }
    while (2 * strip <= Math.min(features, MOST_IN_A_TILE)
        && 2 * strip * feature <= kernels.tileBytes() / 2
        && isWorthMore(strip, (int) elements)) {
      strip *= 2;
    }
    strip = Math.min(strip, features);
    int strips = Math.ceilDiv(features, strip);
    int bytes = Math.ceilDiv(strip * pitch * elementBytes, 16) * 16;
    // Else what blocks of a multiprocessor read, add up and write overlaps less, which shows in
    // many of them.
    boolean fitsWell = held * bytes <= kernels.tileBytes() / 2
        || (scope != Scope.EXAMPLE && strips <= kernels.multiprocessors());
    return (plan == Plan.ONE || fitsWell) && held * bytes <= kernels.tileBytes()
        ? new Tiles(strip, strips, pitch, bytes)
        : null;
  }

  /** Whether a tile of twice the features is better. */
  private boolean isWorthMore(int strip, int elements) {
    return scope == Scope.EXAMPLE
        ? strip * after * elementBytes < GOOD_TILE_ROW_BYTES || strip * elements < TILE_ELEMENTS
        : strip * after * elementBytes < GOOD_TILE_ROW_BYTES
            && features / (2 * strip) >= kernels.multiprocessors();
  }

  private void launchOnTiles(String kernel, Tiles tiles, int held, long... arguments) {
    kernels.launchOnTiles(
        "vbn_" + kernel + type, groups * tiles.strips, THREADS, held * tiles.bytes, arguments);
  }

  /** Threads across a row of a tile. */
  private int tileWidth(Tiles tiles) {
    return powerOfTwo(Math.min(THREADS, (long) tiles.strip * after / pack));
  }

  private static int tileTeam(Tiles tiles) {
    return THREADS / powerOfTwo(tiles.strip);
  }

  /**
   * All of a forward pass.
   *
   * @param output 0 where only statistics are asked for
   * @param mean 0 where the mixed statistics are not asked for; the variance likewise
   */
  void forward(
      Tiles tiles,
      long x,
      long output,
      long referenceMean,
      long referenceVariance,
      long gamma,
      long beta,
      long mean,
      long variance,
      double weight,
      double epsilon) {
    launchOnTiles(
        "forward_",
        tiles,
        1,
        x,
        output,
        referenceMean,
        referenceVariance,
        gamma,
        beta,
        mean,
        variance,
        Double.doubleToRawLongBits(weight),
        Double.doubleToRawLongBits(epsilon),
        groupRows,
        features,
        after,
        tiles.strip,
        tiles.strips,
        tiles.pitch,
        tileWidth(tiles),
        tileTeam(tiles),
        vector);
  }

  /**
   * All of a backward pass, but that the groups of a feature, where there are several, are still to be added up.
   *
   * @param centers as for {@link #gradientSums}
   * @param gradients takes what each group adds; 0 where there is one of a feature
   * @param dMean 0 where the reference statistics get no gradient
   */
  void backward(
      Tiles tiles,
      long x,
      long upstream,
      long output,
      long centers,
      long referenceMean,
      long referenceVariance,
      long gamma,
      long gradients,
      long dgamma,
      long dbeta,
      long dMean,
      long dVariance,
      double weight,
      double epsilon) {
    launchOnTiles(
        "backward_",
        tiles,
        2,
        x,
        upstream,
        output,
        centers,
        referenceMean,
        referenceVariance,
        gamma,
        gradients,
        dgamma,
        dbeta,
        dMean,
        dVariance,
        Double.doubleToRawLongBits(weight),
        Double.doubleToRawLongBits(epsilon),
        groupRows,
        features,
        after,
        tiles.strip,
        tiles.strips,
        tiles.pitch,
        tiles.bytes / elementBytes,
        tileWidth(tiles),
        tileTeam(tiles),
        vector);
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

  /** Whether several groups add to the gradients of a feature. */
  boolean hasGroups() {
    return groups > 1;
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
