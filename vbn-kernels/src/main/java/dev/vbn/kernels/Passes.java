package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.Layout.Order;
import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Goes over a batch in two sweeps in memory order, one that sums and one, backwards, that writes.
 * Large batches are spread over threads.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
final class Passes<A> {
  /** Batches of fewer elements stay on the calling thread: a hand-over has its price. */
  private static final long PARALLEL_SIZE = 1 << 19;

  private final Loops<A> loops;
  private final Workers workers;
  private final Workspaces<A> workspaces;

  Passes(Loops<A> loops, Workers workers) {
    this.loops = loops;
    this.workers = workers;
    workspaces = new Workspaces<>(loops);
  }

  /** What a group's tile is summed and written with. */
  static final class Workspace<A> {
    final Sums sums = new Sums();
    final Lines lines = new Lines();
    final Scratch<A> scratch;

    Workspace(Loops<A> loops) {
      scratch = new Scratch<>(loops);
    }
  }

  /** Between the sums over a group and its output: sets the lines that the output lies on. */
  interface LinesOfGroup {
    /** For {@code features} features, of which {@code first} is at index 0 of sums and lines. */
    void set(int group, int first, int features, Sums sums, Lines lines);
  }

  /**
   * Sums each group, and writes its output. A group in which nothing counts has no lines: its
   * output is 0.
   *
   * @param centers what {@link Sums#deviation} is taken from, finite; null without upstream gradient
   * @param summed null where nothing is to be summed
   * @param written null where there is no output
   */
  void run(
      Geometry geometry,
      int groups,
      double @Nullable [] centers,
      @Nullable Summing<A> summed,
      @Nullable Writing<A> written,
      LinesOfGroup linesOfGroup) {
    Counted counted = geometry.counted();
    if (counted == null) {
      Layout layout = layout(geometry, groups, loops.order(geometry.after()), null);
      runUnits(new Call<>(layout, 0, groups, centers, summed, written, linesOfGroup));
      return;
    }
    IntConsumer group =
        i -> runMasked(geometry, counted, i, groups, centers, summed, written, linesOfGroup);
    if (groups == 1 || geometry.size() < PARALLEL_SIZE || workers.parallelism == 1) {
      IntStream.range(0, groups).forEach(group);
    } else {
      workers.forEach(groups, group);
    }
  }

  private static Layout layout(
      Geometry geometry, int groups, Order order, @Nullable Counts counts) {
    long rows = geometry.batch() * geometry.before() / groups;
    return new Layout(rows, geometry.features(), geometry.after(), order, counts);
  }

  private void runUnits(Call<A> call) {
    int units = Math.multiplyExact(call.groups, call.tiles);
    if (call.layout.size() * call.groups < PARALLEL_SIZE || workers.parallelism == 1) {
      with(workspace -> call.run(0, units, workspace));
    } else if (units >= workers.parallelism) {
      int ranges = workers.parallelism;
      workers.forEach(
          ranges,
          i -> with(workspace -> call.run(
              (int) ((long) units * i / ranges),
              (int) ((long) units * (i + 1) / ranges),
              workspace)));
    } else {
      with(workspace -> {
        for (int unit = 0; unit < units; unit++) {
          runByParts(call, unit, workspace);
        }
      });
    }
  }

  /**
   * Runs one group in a way that depends on its own counts alone, and so do the bits of an example.
   */
  private void runMasked(
      Geometry geometry,
      Counted counted,
      int group,
      int groups,
      double @Nullable [] centers,
      @Nullable Summing<A> summed,
      @Nullable Writing<A> written,
      LinesOfGroup linesOfGroup) {
    Counts counts = Counts.of(geometry, counted, group, groups);
    long size = geometry.size() / groups;
    if (counts.elements() == 0) {
      if (written != null) {
        written.output().clear(group * size, size);
      }
      return;
    }
    boolean all = counts.elements() * geometry.features() == size;
    boolean blends = !all && blends(geometry, counts);
    if (!all && !blends && counts.span() < loops.longSpan() && Packed.fits(geometry, counts)) {
      with(workspace -> runPacked(
          new Packed<>(loops, workspace.scratch, geometry, counts),
          group,
          centers,
          summed,
          written,
          linesOfGroup));
      return;
    }
    // Strips are whole rows.
    boolean strips = all || blends || counts.wholeRows();
    Order order = loops.order(strips ? geometry.after() : Long.MAX_VALUE);
    Counts gone =
        all ? null : blends ? counts.inWholeRows((int) geometry.after(), loops.behind()) : counts;
    Layout layout = layout(geometry, groups, order, gone);
    runUnits(new Call<>(layout, group, 1, centers, summed, written, linesOfGroup));
  }

  private boolean blends(Geometry geometry, Counts counts) {
    double share = (double) counts.elements() / (counts.rows() * geometry.after());
    return geometry.after() > 1
        && counts.rows() * (geometry.after() + loops.behind()) < Integer.MAX_VALUE - 8
        && loops.blends(counts.span(), share);
  }

  private void runPacked(
      Packed<A> packed,
      int group,
      double @Nullable [] centers,
      @Nullable Summing<A> summed,
      @Nullable Writing<A> written,
      LinesOfGroup linesOfGroup) {
    Summing<A> sums = summed == null ? null : summed.of(packed);
    Writing<A> writes = written == null ? null : written.of(packed);
    run(
        packed.geometry(),
        1,
        centers,
        sums,
        writes,
        (only, first, features, ofFeatures, lines) ->
            linesOfGroup.set(group, first, features, ofFeatures, lines));
    if (written != null && writes != null) {
      packed.copyTo(writes.output(), written.output());
    }
  }

  private void with(Consumer<Workspace<A>> work) {
    Workspace<A> workspace = workspaces.take();
    work.accept(workspace);
    // Not after a failure: what it has begun to sum is still there.
    workspaces.giveBack(workspace);
  }

  private void runByParts(Call<A> call, int unit, Workspace<A> workspace) {
    int tile = call.tile(unit);
    Layout layout = call.layout;
    int parts = layout.parts(tile);
    int ranges = Math.min(workers.parallelism, parts);
    if (call.summed != null) {
      call.beginSums(unit, workspace);
      Sums[] sums = new Sums[parts];
      workers.forEach(
          ranges,
          range -> with(own -> {
            for (int i = start(parts, range, ranges); i < start(parts, range + 1, ranges); i++) {
              sums[i] = workspace.sums.ofPart(layout.features(tile));
              call.sum(unit, i, own.scratch, sums[i]);
            }
          }));
      for (Sums part : sums) {
        workspace.sums.add(part, layout.features(tile));
      }
      call.endSums(unit, workspace);
    }
    boolean fit = call.lines(unit, workspace);
    if (call.written != null) {
      workers.forEach(
          ranges,
          range -> with(own -> {
            for (int i = start(parts, range + 1, ranges) - 1;
                i >= start(parts, range, ranges);
                i--) {
              call.write(unit, i, workspace.lines, fit, own.scratch);
            }
          }));
    }
  }

  private static int start(int parts, int range, int ranges) {
    return (int) ((long) parts * range / ranges);
  }

  /** Frees what calls have kept for later ones. */
  void close() {
    workspaces.clear();
  }

  /**
   * One call on groups of the same layout, from {@code first} on; its unit is a tile of a group.
   */
  private static final class Call<A> {
    final Layout layout;
    final int first;
    final int groups;
    final int tiles;
    final double @Nullable [] centers;
    final @Nullable Summing<A> summed;
    final @Nullable Writing<A> written;
    final LinesOfGroup linesOfGroup;

    Call(
        Layout layout,
        int first,
        int groups,
        double @Nullable [] centers,
        @Nullable Summing<A> summed,
        @Nullable Writing<A> written,
        LinesOfGroup linesOfGroup) {
      this.layout = layout;
      this.first = first;
      this.groups = groups;
      tiles = layout.tiles();
      this.centers = centers;
      this.summed = summed;
      this.written = written;
      this.linesOfGroup = linesOfGroup;
    }

    int tile(int unit) {
      return unit % tiles;
    }

    private int group(int unit) {
      return first + unit / tiles;
    }

    private long at(int unit) {
      return group(unit) * layout.size();
    }

    void run(int from, int to, Workspace<A> workspace) {
      for (int unit = from; unit < to; unit++) {
        int tile = tile(unit);
        int parts = layout.parts(tile);
        if (summed != null) {
          beginSums(unit, workspace);
          if (parts == 1) {
            sum(unit, 0, workspace.scratch, workspace.sums);
          } else {
            Sums part = workspace.scratch.sums;
            for (int i = 0; i < parts; i++) {
              part.beginPart(workspace.sums, layout.features(tile));
              sum(unit, i, workspace.scratch, part);
              workspace.sums.add(part, layout.features(tile));
            }
          }
          endSums(unit, workspace);
        }
        boolean fit = lines(unit, workspace);
        if (written != null) {
          // Backwards: of a group larger than the cache, the end is still there.
          for (int i = parts - 1; i >= 0; i--) {
            write(unit, i, workspace.lines, fit, workspace.scratch);
          }
        }
      }
    }

    void beginSums(int unit, Workspace<A> workspace) {
      int tile = tile(unit);
      int features = layout.features(tile);
      Sums sums = workspace.sums;
      sums.clear(features, (double) layout.elements(), requireNonNull(summed).sumsFew(layout));
      if (centers != null) {
        System.arraycopy(centers, (int) layout.firstFeature(tile), sums.center, 0, features);
      }
      requireNonNull(summed).estimate(layout, tile, at(unit), sums, workspace.scratch);
    }

    void sum(int unit, int part, Scratch<A> scratch, Sums into) {
      requireNonNull(summed).sum(layout, layout.part(tile(unit), part), at(unit), scratch, into);
    }

    void endSums(int unit, Workspace<A> workspace) {
      requireNonNull(summed)
          .finish(layout, tile(unit), at(unit), workspace.sums, workspace.scratch);
    }

    boolean lines(int unit, Workspace<A> workspace) {
      int tile = tile(unit);
      int features = layout.features(tile);
      workspace.lines.clear(features);
      if (summed == null) {
        workspace.sums.clear(features, 1, false);
      }
      linesOfGroup.set(
          group(unit), (int) layout.firstFeature(tile), features, workspace.sums, workspace.lines);
      return written == null || written.prepare(workspace.lines, features);
    }

    void write(int unit, int part, Lines lines, boolean fit, Scratch<A> scratch) {
      requireNonNull(written)
          .write(layout, layout.part(tile(unit), part), at(unit), lines, fit, scratch);
    }
  }
}
