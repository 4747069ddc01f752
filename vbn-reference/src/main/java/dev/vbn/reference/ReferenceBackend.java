package dev.vbn.reference;

import dev.vbn.DType;
import dev.vbn.Gradients;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceGradient;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Tile by tile: statistics read a tile once, and its output reads and writes it once more, while it
 * is in cache. Large batches are spread over threads; each chunk is computed by one thread in one
 * order, so that the result does not depend on their number.
 */
final class ReferenceBackend implements VbnBackend<HostTensor> {
  private static final Set<Capability> CAPABILITIES =
      Set.of(Capability.FLOAT64, Capability.CALLER_SUPPLIED_OUTPUT);

  /** Batches of fewer elements are the calling thread's alone: a hand-over has its price. */
  private static final long PARALLEL_SIZE = 1 << 15;

  private final Workers workers;
  private final ThreadLocal<Workspace> workspaces;
  private volatile boolean closed;

  ReferenceBackend(Kernels kernels, Workers workers) {
    this.workers = workers;
    workspaces = ThreadLocal.withInitial(() -> new Workspace(kernels.create()));
    workspaces.get();
  }

  /** The name of the kernel in use. */
  String kernel() {
    return workspaces.get().kernel.name();
  }

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return CAPABILITIES;
  }

  @Override
  public long[] shape(HostTensor tensor) {
    requireOpen();
    return tensor.shape();
  }

  @Override
  public DType dtype(HostTensor tensor) {
    requireOpen();
    return tensor.dtype();
  }

  @Override
  public HostTensor fromHost(HostTensor host, DType dtype) {
    requireOpen();
    return switch (dtype) {
      case FLOAT32, FLOAT64 -> host.to(dtype);
      case FLOAT16 -> throw unsupported(Capability.FLOAT16);
      case BFLOAT16 -> throw unsupported(Capability.BFLOAT16);
    };
  }

  private static UnsupportedCapabilityException unsupported(Capability capability) {
    return new UnsupportedCapabilityException(
        capability, capability + " was asked for; expected FLOAT32 or FLOAT64");
  }

  @Override
  public HostTensor toHost(HostTensor tensor) {
    requireOpen();
    return tensor.to(tensor.dtype());
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry) {
    requireOpen();
    int features = (int) geometry.features();
    double[] mean = new double[features];
    double[] variance = new double[features];
    pass(geometry, 1, Strips.of(x, null, null), null, (sums, tile, group, lines) -> {
      for (int i = 0; i < tile.features; i++) {
        mean[tile.firstFeature + i] = sums.mean(i);
        variance[tile.firstFeature + i] = sums.variance(i);
      }
    });
    return new Moments<>(HostTensor.of(mean, features), HostTensor.of(variance, features));
  }

  @Override
  public Normalized<HostTensor> forward(
      HostTensor x,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    requireOpen();
    HostTensor result = output != null ? output : HostTensor.zeros(x.dtype(), x.shape());
    Strips strips = Strips.of(x, null, result);
    int features = (int) how.geometry().features();
    int groups = groups(how);
    double[] mean = new double[groups * features];
    double[] variance = new double[groups * features];
    Strips summed = how.scope() == Scope.NONE ? null : strips;
    pass(how.geometry(), groups, summed, strips, (sums, tile, group, lines) -> {
      for (int i = 0; i < tile.features; i++) {
        int feature = tile.firstFeature + i;
        Mixture mixture = mix(how, reference, feature, sums.mean(i), sums.variance(i));
        mean[group * features + feature] = mixture.mean();
        variance[group * features + feature] = mixture.variance();
        lines.set(
            i,
            mixture.mean(),
            scale(gamma, feature) / mixture.deviation(),
            beta == null ? 0 : beta.get(feature));
      }
    });
    long[] shape =
        how.scope() == Scope.EXAMPLE ? new long[] {groups, features} : new long[] {features};
    return new Normalized<>(
        result, new Moments<>(HostTensor.of(mean, shape), HostTensor.of(variance, shape)));
  }

  private static Mixture mix(
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      int feature,
      double liveMean,
      double liveVariance) {
    return reference == null
        ? Mixture.of(liveMean, liveVariance, how.epsilon())
        : Mixture.of(
            reference.mean().get(feature),
            reference.variance().get(feature),
            liveMean,
            liveVariance,
            how);
  }

  private static double scale(@Nullable HostTensor gamma, int feature) {
    return gamma == null ? 1 : gamma.get(feature);
  }

  @Override
  public Gradients<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    requireOpen();
    HostTensor dx = HostTensor.zeros(x.dtype(), x.shape());
    int features = (int) how.geometry().features();
    int groups = groups(how);
    double n = how.geometry().elementsPerFeature() / (double) groups;
    double w = how.weight();
    double[] dgamma = new double[groups * features];
    double[] dbeta = new double[groups * features];
    double[] dMean = new double[groups * features];
    double[] dVariance = new double[groups * features];
    Strips summed = Strips.of(x, upstream, dx);
    // Without live statistics dx = factor*dy, whatever x: NaN in it must not show.
    Strips written = w == 0 ? Strips.of(upstream, null, dx) : summed;
    pass(how.geometry(), groups, summed, written, (sums, tile, group, lines) -> {
      for (int i = 0; i < tile.features; i++) {
        int feature = tile.firstFeature + i;
        Mixture mixture = mix(how, reference, feature, sums.mean(i), sums.variance(i));
        double s = mixture.deviation();
        double factor = scale(gamma, feature) / s;
        double a = sums.upstream(i);
        double b = sums.upstreamAround(i, mixture.mean()) / s;
        double dm = -factor * a;
        double dv = -factor / (2 * s) * b;
        int at = group * features + feature;
        dbeta[at] = a;
        dgamma[at] = b;
        dMean[at] = (1 - w) * dm - 2 * w * (1 - w) * mixture.difference() * dv;
        dVariance[at] = (1 - w) * dv;
        if (w == 0) {
          lines.set(i, 0, factor, 0);
        } else {
          lines.set(i, mixture.mean(), factor, factor * w / n * a);
          lines.slope[i] = factor * w / n * b / s;
        }
      }
    });
    return new Gradients<>(
        dx,
        total(dgamma, features).to(x.dtype().parameterType()),
        total(dbeta, features).to(x.dtype().parameterType()),
        reference == null || how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : new Moments<>(total(dMean, features), total(dVariance, features)));
  }

  /** Sums over the groups, in their order. */
  private static HostTensor total(double[] ofGroups, int features) {
    double[] total = Arrays.copyOf(ofGroups, features);
    for (int i = features; i < ofGroups.length; i++) {
      total[i % features] += ofGroups[i];
    }
    return HostTensor.of(total, features);
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    requireOpen();
    HostTensor dr = HostTensor.zeros(r.dtype(), r.shape());
    pass(geometry, 1, null, Strips.of(r, null, dr), (sums, tile, group, lines) -> {
      for (int i = 0; i < tile.features; i++) {
        int feature = tile.firstFeature + i;
        lines.set(
            i,
            statistics.mean().get(feature),
            2 * gradient.variance().get(feature) / elements,
            gradient.mean().get(feature) / elements);
      }
    });
    return dr;
  }

  /** What is to be done between the sums over a group and the lines that its output lies on. */
  private interface LinesOfGroup {
    void set(GroupSums sums, Tile tile, int group, Lines lines);
  }

  /**
   * One pass that sums each group of a tile, and one that writes its output while it is in cache.
   *
   * <p>Threads take whole groups where these are as many as threads, and share the chunks of each
   * where they are fewer. Chunks are cut by the shape alone and their sums are added in one order.
   *
   * @param summed null where nothing is to be summed
   * @param written null where there is no output
   */
  private void pass(
      Geometry geometry,
      int groups,
      @Nullable Strips summed,
      @Nullable Strips written,
      LinesOfGroup linesOfGroup) {
    int rows = (int) (geometry.batch() * geometry.before() / groups);
    int size = (int) (geometry.size() / groups);
    Tile[] tiles = workspaces.get().tiles(geometry, rows);
    int tasks = groups * tiles.length;
    if (geometry.size() < PARALLEL_SIZE || workers.parallelism == 1) {
      for (int i = 0; i < tasks; i++) {
        Tile tile = tiles[i / groups];
        group(tile, i % groups, size, summed, written, linesOfGroup);
      }
    } else if (tasks >= workers.parallelism) {
      workers.forEach(
          tasks, i -> group(tiles[i / groups], i % groups, size, summed, written, linesOfGroup));
    } else {
      for (int i = 0; i < tasks; i++) {
        groupByChunks(tiles[i / groups], i % groups, size, summed, written, linesOfGroup);
      }
    }
  }

  private void group(
      Tile tile,
      int group,
      int size,
      @Nullable Strips summed,
      @Nullable Strips written,
      LinesOfGroup linesOfGroup) {
    Workspace workspace = workspaces.get();
    int at = group * size;
    int chunks = tile.chunks();
    if (summed != null) {
      workspace.group.clear(tile.features);
      for (int chunk = 0; chunk < chunks; chunk++) {
        if (chunks == 1) {
          workspace.group.add(sums(tile, 0, at, summed, workspace), tile);
        } else {
          workspace.chunk.clear(tile.features);
          workspace.chunk.add(sums(tile, chunk, at, summed, workspace), tile);
          workspace.group.add(workspace.chunk);
        }
      }
    }
    linesOfGroup.set(workspace.group, tile, group, workspace.lines);
    if (written != null) {
      workspace.lines.spread(tile, written.withUpstream());
      // Backwards: of a group larger than the cache, the end is still there.
      for (int chunk = chunks - 1; chunk >= 0; chunk--) {
        write(tile, chunk, at, written, workspace.lines, workspace);
      }
    }
  }

  private void groupByChunks(
      Tile tile,
      int group,
      int size,
      @Nullable Strips summed,
      @Nullable Strips written,
      LinesOfGroup linesOfGroup) {
    Workspace workspace = workspaces.get();
    int at = group * size;
    int chunks = tile.chunks();
    if (chunks == 1) {
      group(tile, group, size, summed, written, linesOfGroup);
      return;
    }
    if (summed != null) {
      GroupSums[] sums = new GroupSums[chunks];
      workers.forEach(chunks, chunk -> {
        sums[chunk] = new GroupSums(tile.features);
        sums[chunk].clear(tile.features);
        sums[chunk].add(sums(tile, chunk, at, summed, workspaces.get()), tile);
      });
      workspace.group.clear(tile.features);
      for (GroupSums chunk : sums) {
        workspace.group.add(chunk);
      }
    }
    linesOfGroup.set(workspace.group, tile, group, workspace.lines);
    if (written != null) {
      Lines lines = workspace.lines;
      lines.spread(tile, written.withUpstream());
      workers.forEach(
          chunks, chunk -> write(tile, chunks - 1 - chunk, at, written, lines, workspaces.get()));
    }
  }

  private static LaneSums sums(Tile tile, int chunk, int at, Strips strips, Workspace workspace) {
    Box box = tile.boxOf(chunk);
    int ofBox = tile.chunkOfBox(chunk);
    workspace.lanes.take(
        strips, workspace, at, box, box.firstBlock(ofBox), box.firstBlock(ofBox + 1));
    return workspace.lanes;
  }

  private static void write(
      Tile tile, int chunk, int at, Strips strips, Lines lines, Workspace workspace) {
    Box box = tile.boxOf(chunk);
    int ofBox = tile.chunkOfBox(chunk);
    for (int block = box.firstBlock(ofBox); block < box.firstBlock(ofBox + 1); block++) {
      if (strips.withUpstream()) {
        strips.differentiate(at, box.block(block), tile, lines, workspace);
      } else {
        strips.normalize(at, box.block(block), tile, lines, workspace);
      }
    }
  }

  private static int groups(Normalization how) {
    return how.scope() == Scope.EXAMPLE ? (int) how.geometry().batch() : 1;
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("reference backend used after close; expected an open one");
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
