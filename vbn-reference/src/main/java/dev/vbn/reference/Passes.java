package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Goes over a batch tile by tile: statistics read a tile once, and its output reads and writes it
 * once more, while it is in cache. Large batches are spread over threads.
 */
final class Passes {
  /** Batches of fewer elements are the calling thread's alone: a hand-over has its price. */
  private static final long PARALLEL_SIZE = 1 << 18;

  /** Parts of the work for each thread: one that was held up leaves some to the others. */
  private static final int CHAINS = 2;

  private final Workers workers;
  private final Workspaces workspaces = new Workspaces();

  Passes(Workers workers) {
    this.workers = workers;
  }

  /** Between the sums over a group and its output: sets the lines that the output lies on. */
  interface LinesOfGroup {
    void set(Tile tile, int group, Workspace workspace);
  }

  /**
   * Sums each group of a tile, and writes its output.
   *
   * <p>Threads take whole groups where these are as many as threads, and share the chunks of each
   * where they are fewer. Chunks are cut by the shape alone and their sums are added in one order,
   * so that the number of threads does not change a bit.
   *
   * @param summed null where nothing is to be summed
   * @param written null where there is no output
   */
  void run(
      Geometry geometry,
      int groups,
      @Nullable Kernel summed,
      @Nullable Kernel written,
      LinesOfGroup linesOfGroup) {
    int rows = (int) (geometry.batch() * geometry.before() / groups);
    int size = (int) (geometry.size() / groups);
    if (geometry.size() < PARALLEL_SIZE || workers.parallelism == 1) {
      withWorkspace(workspace -> {
        Tile[] tiles = workspace.tiles(geometry, rows);
        int tasks = groups * tiles.length;
        chain(tiles, groups, size, 0, tasks, workspace, summed, written, linesOfGroup);
      });
      return;
    }
    Tile[] tiles = Tile.of(geometry, rows);
    int tasks = groups * tiles.length;
    if (tasks < workers.parallelism) {
      withWorkspace(workspace -> {
        for (int i = 0; i < tasks; i++) {
          groupByChunks(
              tiles[i / groups], i % groups, size, workspace, summed, written, linesOfGroup);
        }
      });
    } else {
      int chains = (int) Math.min(tasks, (long) CHAINS * workers.parallelism);
      workers.forEach(
          chains,
          i -> withWorkspace(workspace -> chain(
              tiles,
              groups,
              size,
              (int) ((long) tasks * i / chains),
              (int) ((long) tasks * (i + 1) / chains),
              workspace,
              summed,
              written,
              linesOfGroup)));
    }
  }

  private void withWorkspace(Consumer<Workspace> work) {
    Workspace workspace = workspaces.take();
    try {
      work.accept(workspace);
    } finally {
      workspaces.giveBack(workspace);
    }
  }

  /** One thread's groups, one after the other. */
  private void chain(
      Tile[] tiles,
      int groups,
      int size,
      int from,
      int to,
      Workspace workspace,
      @Nullable Kernel summed,
      @Nullable Kernel written,
      LinesOfGroup linesOfGroup) {
    Kernel together = Objects.equals(summed, written) ? summed : null;
    for (int i = from; i < to; i++) {
      Tile tile = tiles[i / groups];
      int at = i % groups * size;
      if (summed != null && (i == from || together == null)) {
        sum(summed, tile, at, workspace);
      }
      workspace.lines.ofThisBatch = together != null;
      linesOfGroup.set(tile, i % groups, workspace);
      if (together != null && i + 1 < to) {
        writeAndSum(
            together, tile, at, tiles[(i + 1) / groups], (i + 1) % groups * size, workspace);
      } else if (written != null) {
        write(written, tile, at, workspace);
      }
    }
  }

  private static void sum(Kernel kernel, Tile tile, int at, Workspace workspace) {
    workspace.group.clear(tile.features);
    int chunks = tile.chunks();
    if (chunks == 1) {
      kernel.sum(tile.chunk(0).moved(at), tile, workspace, workspace.group);
      return;
    }
    for (int chunk = 0; chunk < chunks; chunk++) {
      workspace.chunk.clear(tile.features);
      kernel.sum(tile.chunk(chunk).moved(at), tile, workspace, workspace.chunk);
      workspace.group.add(workspace.chunk);
    }
  }

  private static void write(Kernel kernel, Tile tile, int at, Workspace workspace) {
    // Backwards: of a group larger than the cache, the end is still there.
    for (int chunk = tile.chunks() - 1; chunk >= 0; chunk--) {
      kernel.write(tile.chunk(chunk).moved(at), tile, workspace.lines, workspace);
    }
  }

  private static void writeAndSum(
      Kernel kernel, Tile tile, int at, Tile next, int nextAt, Workspace workspace) {
    if (!tile.longRuns()) {
      write(kernel, tile, at, workspace);
      sum(kernel, next, nextAt, workspace);
      return;
    }
    // All tiles of long runs have the same chunks.
    workspace.group.clear(next.features);
    int chunks = tile.chunks();
    GroupSums sums = chunks == 1 ? workspace.group : workspace.chunk;
    for (int chunk = 0; chunk < chunks; chunk++) {
      sums.clear(next.features);
      kernel.writeAndSum(
          tile.chunk(chunk).moved(at),
          tile,
          workspace.lines,
          next.chunk(chunk).moved(nextAt),
          next,
          workspace,
          sums);
      if (chunks > 1) {
        workspace.group.add(sums);
      }
    }
  }

  private void groupByChunks(
      Tile tile,
      int group,
      int size,
      Workspace workspace,
      @Nullable Kernel summed,
      @Nullable Kernel written,
      LinesOfGroup linesOfGroup) {
    int at = group * size;
    int chunks = tile.chunks();
    if (summed != null) {
      GroupSums[] sums = new GroupSums[chunks];
      workers.forEach(chunks, chunk -> {
        sums[chunk] = new GroupSums(tile.features);
        withWorkspace(own -> summed.sum(tile.chunk(chunk).moved(at), tile, own, sums[chunk]));
      });
      workspace.group.clear(tile.features);
      for (GroupSums chunk : sums) {
        workspace.group.add(chunk);
      }
    }
    workspace.lines.ofThisBatch = Objects.equals(summed, written);
    linesOfGroup.set(tile, group, workspace);
    if (written != null) {
      workers.forEach(
          chunks,
          chunk -> withWorkspace(own ->
              written.write(tile.chunk(chunks - 1 - chunk).moved(at), tile, workspace.lines, own)));
    }
  }

  /** Frees what calls have left for the next one. */
  void close() {
    workspaces.clear();
  }
}
