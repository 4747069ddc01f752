package dev.vbn.cuda;

import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The kernels on one batch: the numbers of their launches. {@code vbn.cu} says what the words mean.
 *
 * <p>How a batch is cut decides the order in which sums are added up, and so their last bits. It
 * depends on shape and device alone, and in {@link Scope#EXAMPLE} not on the number of examples: an
 * example's bits do not depend on its companions.
 */
final class BatchKernels {
  private static final int THREADS = 256; // of a block, in every kernel
  private static final int SEGMENT = 8192;
  private static final int SUMS = 5; // of a unit
  private static final int LINE_BYTES = 48; // of a group, in both arithmetics
  private static final int GRADIENTS = 4; // of a group
  private static final int GROUPS_PER_THREAD = 4; // about
  private static final int LINE_NUMBERS = 4; // of a group
  private static final int ITEM_BYTES = 12; // of a segment of a row of a mask
  private static final int POSITIONS_PER_THREAD = 8; // of a mask, about

  /**
   * About how many packs a thread adds up before threads are added up: enough to hide the latter,
   * and few enough for two rounds of blocks on the largest devices from 32 MB on.
   */
  private static final int PACKS_PER_THREAD = 8;

  /**
   * Fewest packs of a run for each thread of a team, lest threads have next to nothing to add up.
   */
  private static final int RUN_PACKS_PER_THREAD = 4;

  private static final int WARP = 32;

  /** Of each feature in a unit, where there is enough of both to keep the device busy: 50 times its sums. */
  private static final int UNIT_BYTES = 2048;

  /** Units that a thread of the last block merges. */
  private static final int MERGES_PER_THREAD = 32;

  /**
   * Neighbouring features that a thread adds up at once where there are no positions after them.
   */
  private static final int COLUMN = 4;

  // How elements are read and written: one by one, or 16 bytes of neighbours at once.
  private static final int ALONE = 0;
  private static final int OF_A_RUN = 1;
  private static final int OF_FEATURES = 2;

  private static final String FORWARD_TOGETHER = "forward_together_";
  private static final String BACKWARD_TOGETHER = "backward_together_";

  private static final int MOST_IN_A_TILE = 64; // features

  // Of each row a tile has what one memory access brings, or better what a warp reads at once.
  private static final int LEAST_TILE_ROW_BYTES = 32;
  private static final int GOOD_TILE_ROW_BYTES = 128;

  /** Elements of a tile that are worth a block. */
  private static final int TILE_ELEMENTS = 16 * THREADS;

  /**
   * About how many rows a thread writes, if there are enough: it reads its features' lines once.
   */
  private static final int ROWS_PER_THREAD = 8;

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

  /** Whether sums are those of columns, not of runs. */
  private final boolean byColumn;

  /** Threads along a run. */
  private final int lanes;

  /** Neighbouring features that a block adds up. */
  private final int blockFeatures;

  private final long itemsPerUnit;
  private final int unitsPerGroup;

  /** Blocks that add up. */
  private final long blocks;

  /** Counters of the blocks that have a unit of a group; 0 where a group has only one. */
  private final long counters;

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
    int behind = inInt("positions behind the feature axis", geometry.after());
    long allRows = geometry.batch() * geometry.before();
    groups = scope == Scope.EXAMPLE ? geometry.batch() : 1;
    long run = allRows / groups * behind;
    boolean oneRun = features == 1 && !masked && run <= Integer.MAX_VALUE; // a group is one
    after = oneRun ? (int) run : behind;
    groupRows = oneRun ? 1 : allRows / groups;
    rows = groups * groupRows;
    exampleRows = geometry.before();
    elementBytes = CudaTensor.elementBytes(dtype);
    int together = 16 / elementBytes;
    boolean atOnce = !masked && aligned(tensors);
    vector = atOnce && after % together == 0
        ? OF_A_RUN
        : atOnce && after == 1 && features % together == 0 ? OF_FEATURES : ALONE;
    pack = vector == ALONE ? 1 : together;
    segments = Math.ceilDiv(after, SEGMENT);

    byColumn = atOnce && after == 1 && features % COLUMN == 0 && dtype != DType.FLOAT64;
    long items = groupRows * segments;
    int item = Math.min(after, SEGMENT);
    int ofRun = vector == OF_A_RUN ? together : 1;
    int ofThread = byColumn ? COLUMN : 1;
    int all = features / ofThread; // runs or columns of a row
    lanes = byColumn
        ? 1
        : Math.min(
            THREADS, Integer.highestOneBit(Math.max(1, item / ofRun / RUN_PACKS_PER_THREAD)));
    // Neighbours for a warp to read, other rows for the rest, and only then more neighbours.
    int near = powerOfTwo(Math.min(all, Math.max(1, WARP / ofThread / lanes)));
    int turns = Integer.highestOneBit((int) Math.min(THREADS / lanes / near, items));
    int most = Math.min(THREADS / lanes / turns, THREADS / ofThread);
    int width = powerOfTwo(Math.min(all, most));
    long wanted = Math.ceilDiv(items * item, (long) (THREADS / width) * ofRun * PACKS_PER_THREAD);
    long across = Math.ceilDiv(all, width);
    long busy = Math.max(1, kernels.enoughThreads() / (across * THREADS));
    long worthIt = Math.max(busy / 4, items * item * elementBytes / UNIT_BYTES);
    long mergeable = (long) MERGES_PER_THREAD * THREADS / width / ofThread;
    long units = Math.max(1, Math.min(Math.min(wanted, busy), Math.min(worthIt, mergeable)));
    itemsPerUnit = Math.ceilDiv(items, units);
    unitsPerGroup = Math.toIntExact(Math.ceilDiv(items, itemsPerUnit));
    // Alone in its group, a unit shares its block with those of other groups.
    blockFeatures = ofThread * (unitsPerGroup == 1 ? most : width);
    long places = groups * all;
    blocks = unitsPerGroup == 1 ? Math.ceilDiv(places, most) : groups * unitsPerGroup * across;
    counters = unitsPerGroup == 1 ? 0 : groups * across;
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

  /** Smallest power of two that is not less than {@code value}. */
  private static int powerOfTwo(long value) {
    return value <= 1 ? 1 : Math.toIntExact(Long.highestOneBit(value - 1) * 2);
  }

  /**
   * How a group is cut into tiles, of which a block holds one, or two of as many elements.
   *
   * @param held how many tiles a block holds
   * @param strip features of a tile
   * @param strips tiles of a group
   * @param pitch elements from one feature to the next
   * @param bytes of one, a multiple of 16
   */
  private record Tiles(int held, int strip, int strips, int pitch, int bytes) {}

  /**
   * Tiles that blocks hold, where one launch is to do it all; null where several are.
   *
   * @param held how many a block holds
   */
  private @Nullable Tiles tiles(int held) {
    long elements = groupRows * after;
    if ((plan != Plan.AUTO && plan != Plan.ONE)
        || masked
        || elements * elementBytes > kernels.tileBytes()) {
      return null;
    }
    int pitch = pitch((int) elements);
    int feature = pitch * elementBytes * held;
    int strip = strip(LEAST_TILE_ROW_BYTES);
    while (2 * strip <= Math.min(features, MOST_IN_A_TILE)
        && 2 * strip * feature <= kernels.tileBytes() / 2
        && isWorthMore(strip, (int) elements)) {
      strip *= 2;
    }
    strip = Math.min(strip, features);
    int strips = Math.ceilDiv(features, strip);
    int bytes = tileBytes(strip, pitch);
    // Else the reading, adding and writing of a multiprocessor's blocks overlap less, which shows
    // with many of them.
    boolean fitsWell = held * bytes <= kernels.tileBytes() / 2
        || (scope != Scope.EXAMPLE && strips <= kernels.multiprocessors());
    // Else most threads of a block have nothing to do, and two launches put many groups into one.
    boolean fillsABlock = scope != Scope.EXAMPLE || strip * elements >= THREADS;
    return (plan == Plan.ONE || (fitsWell && fillsABlock)) && held * bytes <= kernels.tileBytes()
        ? new Tiles(held, strip, strips, pitch, bytes)
        : null;
  }

  /** Features of a tile, a power of two, of which each row has so many bytes if it can. */
  private int strip(int rowBytes) {
    int strip = 1;
    while (strip < MOST_IN_A_TILE && (long) strip * after * elementBytes < rowBytes) {
      strip *= 2;
    }
    return strip;
  }

  private int tileBytes(int strip, int pitch) {
    return Math.ceilDiv(strip * pitch * elementBytes, 16) * 16;
  }

  /** Threads across a row of a tile. */
  private int tileWidth(int strip, int positions) {
    return powerOfTwo(Math.min(THREADS, (long) strip * positions / pack));
  }

  /** Threads that add up a feature of a tile. */
  private static int tileTeam(int strip) {
    return THREADS / powerOfTwo(strip);
  }

  /**
   * Elements from one feature of a tile to the next: an odd number of packs, so that neighbours are
   * in different banks.
   */
  private int pitch(int elements) {
    return packOfRun() * (elements / packOfRun() | 1);
  }

  private int packOfRun() {
    return vector == OF_A_RUN ? pack : 1;
  }

  /** Whether a tile of twice the features is better. */
  private boolean isWorthMore(int strip, int elements) {
    return scope == Scope.EXAMPLE
        ? strip * after * elementBytes < GOOD_TILE_ROW_BYTES || strip * elements < TILE_ELEMENTS
        : strip * after * elementBytes < GOOD_TILE_ROW_BYTES
            && features / (2 * strip) >= kernels.multiprocessors();
  }

  private void launchOnTiles(String kernel, Tiles tiles, long[]... arguments) {
    kernels.launchOnTiles(
        "vbn_" + kernel + type,
        groups * tiles.strips,
        THREADS,
        tiles.held * tiles.bytes,
        joined(arguments));
  }

  /**
   * How tiles are cut into parts, for a launch of blocks that wait for each other; each holds one
   * part, or two. The words are those of {@link Tiles} and of {@code Parts} in {@code vbn.cu}.
   */
  private record Parts(
      int ofTile,
      int rows,
      int positions,
      int blocks,
      int held,
      int bytes,
      int strip,
      int strips,
      int pitch) {}

  /**
   * Parts for one launch of all blocks at once; null where there is to be none, or its blocks lack
   * the room.
   *
   * @param tensors how many of a part a block holds
   */
  private @Nullable Parts parts(DeviceStream.Call call, String kernel, int tensors) {
    if (plan != Plan.TOGETHER || masked || call.capturing()) {
      return null;
    }
    int atOnce = kernels.blocksAtOnce("vbn_" + kernel + type, THREADS);
    Parts parts = parts(atOnce, tensors, 2);
    return parts == null ? parts(atOnce, tensors, 1) : parts;
  }

  private @Nullable Parts parts(int atOnce, int tensors, int held) {
    int strip = Math.min(strip(GOOD_TILE_ROW_BYTES), features);
    int strips = Math.ceilDiv(features, strip);
    long tiles = groups * strips;
    int room = kernels.tileBytes() / tensors / held / 16 * 16;
    int most = packOfRun() * (room / (strip * elementBytes * packOfRun()) - 1 | 1); // of a feature
    int mostRows = Math.max(1, most / after);
    long pieces = Math.ceilDiv(after, most); // of a row
    long least = Math.ceilDiv(groupRows, mostRows) * pieces;
    if (most < packOfRun() || least > atOnce || (pieces > 1 && strip > 1)) {
      return null;
    }
    // How an example is cut does not depend on how many there are.
    long together = scope == Scope.EXAMPLE ? atOnce / least : Math.min(atOnce / least, tiles);
    long worthIt = Math.ceilDiv(groupRows * after * strip, TILE_ELEMENTS);
    long wanted =
        scope == Scope.EXAMPLE ? least : Math.max(least, Math.min(atOnce / together, worthIt));
    pieces = Math.max(pieces, strip == 1 ? wanted / groupRows : 1);
    int positions = packOfRun() * Math.ceilDiv(Math.ceilDiv(after, (int) pieces), packOfRun());
    pieces = Math.ceilDiv(after, positions);
    int rows = pieces > 1 ? 1 : (int) Math.ceilDiv(groupRows, wanted);
    int ofTile = (int) (Math.ceilDiv(groupRows, rows) * pieces);
    int pitch = pitch(rows * positions);
    int bytes = tileBytes(strip, pitch) * tensors;
    int blocks = (int) Math.min(together, tiles) * ofTile;
    return new Parts(
        ofTile,
        rows,
        positions,
        blocks,
        tiles * ofTile > blocks ? held : 1,
        bytes,
        strip,
        strips,
        pitch);
  }

  private void launchTogether(
      String kernel, Parts parts, long lines, long counters, long[]... arguments) {
    long[] numbers = {
      lines + linesBytes(),
      counters,
      lines,
      parts.ofTile,
      parts.rows,
      parts.positions,
      parts.blocks,
      parts.held,
      parts.bytes,
      groups,
      groupRows,
      features,
      after,
      parts.strip,
      parts.pitch,
      tileWidth(parts.strip, parts.positions),
      tileTeam(parts.strip),
      vector
    };
    kernels.launchTogether(
        "vbn_" + kernel + type,
        parts.blocks,
        THREADS,
        parts.held * parts.bytes,
        joined(joined(arguments), numbers));
  }

  /** Lines, and sums after them. */
  private long bytes(Parts parts) {
    return linesBytes() + groups * parts.ofTile * features * SUMS * Double.BYTES;
  }

  private long counters(Parts parts) {
    return groups * parts.strips;
  }

  /** What forward mixes with, and where its statistics go: null addresses where there are none. */
  record ForwardMix(
      long referenceMean,
      long referenceVariance,
      long gamma,
      long beta,
      long mean,
      long variance,
      double weight,
      double epsilon) {
    /** For live statistics alone. */
    static ForwardMix ofStatistics(long mean, long variance) {
      return new ForwardMix(0, 0, 0, 0, mean, variance, 1, 1);
    }

    private long[] arguments() {
      return new long[] {
        referenceMean,
        referenceVariance,
        gamma,
        beta,
        mean,
        variance,
        Double.doubleToRawLongBits(weight),
        Double.doubleToRawLongBits(epsilon)
      };
    }
  }

  /**
   * What backward mixes with, and where gradients go.
   *
   * @param centers what the upstream is asked around, of each feature; 0 for the live means
   * @param dMean 0 where the reference statistics get no gradient; the variance likewise
   */
  record BackwardMix(
      long centers,
      long referenceMean,
      long referenceVariance,
      long gamma,
      long dgamma,
      long dbeta,
      long dMean,
      long dVariance,
      double weight,
      double epsilon) {
    /** @param gradients takes what each group adds; 0 where that is to be added up */
    private long[] arguments(long gradients) {
      return new long[] {
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
        Double.doubleToRawLongBits(epsilon)
      };
    }
  }

  private static long[] joined(long[]... arguments) {
    return Arrays.stream(arguments).flatMapToLong(Arrays::stream).toArray();
  }

  private static long[] numbers(long... arguments) {
    return arguments;
  }

  /** @param output 0 where statistics alone are asked for */
  void forward(DeviceStream.Call call, long x, long output, ForwardMix how) {
    Tiles tiles = tiles(1);
    if (tiles != null) {
      launchOnTiles(
          "forward_", tiles, numbers(x), how.arguments(), numbers(output), tileNumbers(tiles));
      return;
    }
    boolean live = how.weight != 0;
    Parts parts = live && output != 0 ? parts(call, FORWARD_TOGETHER, 1) : null;
    if (parts != null) {
      launchTogether(
          FORWARD_TOGETHER,
          parts,
          call.scratch(bytes(parts)),
          call.counters(counters(parts)),
          numbers(x),
          how.arguments(),
          numbers(output));
      return;
    }
    long linesBytes = output == 0 ? 0 : linesBytes();
    long memory = call.scratch(linesBytes + (live ? sumsBytes() : 0));
    long lines = output == 0 ? 0 : memory;
    if (live) {
      long sums = memory + linesBytes;
      launchSums("sums_", numbers(x), how.arguments(), sums, counters(call), lines);
      if (plan == Plan.THREE) {
        launchMix("vbn_mix_forward_", how.arguments(), sums, unitsPerGroup, lines);
      }
    } else {
      launchMix("vbn_mix_forward_", how.arguments(), 0, 0, lines);
    }
    if (output != 0) {
      normalize(x, output, lines);
    }
  }

  void backward(DeviceStream.Call call, long x, long upstream, long output, BackwardMix how) {
    // Else the gradients of the one group are those of the parameters.
    long gradientsBytes = groups > 1 ? gradientsBytes() : 0;
    Tiles tiles = tiles(2);
    Parts parts = tiles == null ? parts(call, BACKWARD_TOGETHER, 2) : null;
    long gradients = 0;
    if (tiles != null) {
      gradients = gradientsBytes == 0 ? 0 : call.scratch(gradientsBytes);
      launchOnTiles(
          "backward_",
          tiles,
          numbers(x, upstream),
          how.arguments(gradients),
          numbers(output),
          tileNumbers(tiles));
    } else if (parts != null) {
      long memory = call.scratch(gradientsBytes + bytes(parts));
      gradients = gradientsBytes == 0 ? 0 : memory;
      launchTogether(
          BACKWARD_TOGETHER,
          parts,
          memory + gradientsBytes,
          call.counters(counters(parts)),
          numbers(x, upstream),
          how.arguments(gradients),
          numbers(output));
    } else {
      long linesBytes = linesBytes();
      long memory = call.scratch(linesBytes + gradientsBytes + sumsBytes());
      gradients = gradientsBytes == 0 ? 0 : memory + linesBytes;
      gradientSums(call, x, upstream, memory + linesBytes + gradientsBytes, memory, gradients, how);
      // Without a weight x has no part in its gradient: 0 * NaN is NaN.
      eachElement("differentiate_", memory, how.weight == 0 ? 0 : x, upstream, output);
    }
    if (gradients != 0) {
      sumGroups(gradients, how.dgamma, how.dbeta, how.dMean, how.dVariance);
    }
  }

  /**
   * What groups add to the gradients.
   *
   * @param gradients takes them; has {@link #gradientsBytes}
   */
  void groupGradients(
      DeviceStream.Call call, long x, long upstream, long gradients, BackwardMix how) {
    long memory = call.scratch(linesBytes() + sumsBytes());
    gradientSums(call, x, upstream, memory + linesBytes(), memory, gradients, how);
  }

  private void gradientSums(
      DeviceStream.Call call,
      long x,
      long upstream,
      long sums,
      long lines,
      long gradients,
      BackwardMix how) {
    long[] mix = how.arguments(gradients);
    launchSums("gradient_sums_", numbers(x, upstream), mix, sums, counters(call), lines);
    if (plan == Plan.THREE) {
      launchMix("vbn_mix_backward_", mix, sums, unitsPerGroup, lines);
    }
  }

  private long[] tileNumbers(Tiles tiles) {
    int width = tileWidth(tiles.strip, after);
    int team = tileTeam(tiles.strip);
    long[] shape = {groupRows, features, after, tiles.strip, tiles.strips, tiles.pitch};
    return tiles.held == 1
        ? joined(shape, numbers(width, team, vector))
        : joined(shape, numbers(tiles.bytes / elementBytes, width, team, vector));
  }

  /** Counters at 0 for the blocks of each group; 0 where each group is of one block. */
  private long counters(DeviceStream.Call call) {
    return plan == Plan.THREE || counters == 0 ? 0 : call.counters(counters);
  }

  /**
   * Adds up units and, unless another launch does that, mixes them in the last block of each group.
   */
  private void launchSums(
      String kernel, long[] tensors, long[] how, long sums, long counters, long lines) {
    int team = plan == Plan.THREE ? 0 : mixTeam(unitsPerGroup);
    long[] units = {sums, counters, lines, groups, groupRows, features};
    if (byColumn) {
      long[] shape = {itemsPerUnit, unitsPerGroup, blockFeatures / COLUMN, team};
      kernels.launch(
          "vbn_column_" + kernel + type, blocks, 1, THREADS, joined(tensors, how, units, shape));
      return;
    }
    long[] shape = {
      after,
      SEGMENT,
      segments,
      itemsPerUnit,
      unitsPerGroup,
      lanes,
      blockFeatures,
      team,
      vector == OF_A_RUN ? 1 : 0
    };
    launch(kernel, true, blocks, 1, joined(tensors, how, units, shape));
  }

  private void launchMix(String kernel, long[] how, long sums, int units, long lines) {
    int team = mixTeam(units);
    kernels.launch(
        kernel + parameterType,
        Math.ceilDiv(groups * features, THREADS / team),
        1,
        THREADS,
        joined(how, numbers(sums, lines, groups, features, units, team)));
  }

  /** The same wherever units are mixed, so that the bits are too. */
  private int mixTeam(int units) {
    return powerOfTwo(Math.min(THREADS / blockFeatures, Math.ceilDiv(units, 4)));
  }

  private long sumsBytes() {
    return groups * unitsPerGroup * features * SUMS * Double.BYTES;
  }

  long linesBytes() {
    return groups * features * LINE_BYTES;
  }

  long gradientsBytes() {
    return groups * features * GRADIENTS * Double.BYTES;
  }

  /** Items, and after them a byte for each position. */
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
   * Makes the coming launches read only what counts.
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

  /** Launches a kernel on the batch, or that for a masked one, which also takes the mask. */
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
   * @param gradients takes each group's part in the gradient of gamma
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
    long busy = kernels.enoughThreads() / THREADS / gridX;
    long wanted = Math.max(busy, Math.ceilDiv(rows, (long) ROWS_PER_THREAD * step));
    long wantedY = Math.clamp(Math.min(wanted, ENOUGH_BLOCKS / gridX), 1, MOST_BLOCKS_ALONG_Y);
    long rowsPerBlock = Math.max(step, Math.ceilDiv(Math.ceilDiv(rows, wantedY), step) * step);
    long[] numbers = {lines, rows, groupRows, rowsPerBlock, features, after, across, vector};
    long[] arguments = Arrays.copyOf(tensors, tensors.length + numbers.length);
    System.arraycopy(numbers, 0, arguments, tensors.length, numbers.length);
    launch(kernel, false, gridX, Math.ceilDiv(rows, rowsPerBlock), arguments);
  }

  /** @param dMean 0 where the reference statistics get no gradient */
  void sumGroups(long gradients, long dgamma, long dbeta, long dMean, long dVariance) {
    int team = powerOfTwo(Math.min(64, Math.ceilDiv(groups, GROUPS_PER_THREAD)));
    kernels.launch(
        "vbn_sum_groups_" + parameterType,
        Math.ceilDiv(features, THREADS / team),
        1,
        THREADS,
        gradients,
        dgamma,
        dbeta,
        dMean,
        dVariance,
        groups,
        features,
        team);
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
