package dev.vbn.kernels;

import dev.vbn.kernels.Passes.Workspace;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * Workspaces that no thread is using: two for each processor, since a call whose threads share its
 * lines needs one for them. More threads at once make their own, and leave it to the garbage
 * collector.
 */
final class Workspaces<A> {
  private final Loops<A> loops;

  private final AtomicReferenceArray<@Nullable Workspace<A>> kept =
      new AtomicReferenceArray<>(2 * Runtime.getRuntime().availableProcessors());

  Workspaces(Loops<A> loops) {
    this.loops = loops;
  }

  Workspace<A> take() {
    for (int i = 0, at = ofThread(); i < kept.length(); i++, at = following(at)) {
      Workspace<A> workspace = kept.get(at);
      if (workspace != null && kept.compareAndSet(at, workspace, null)) {
        return workspace;
      }
    }
    return new Workspace<>(loops);
  }

  void giveBack(Workspace<A> workspace) {
    for (int i = 0, at = ofThread(); i < kept.length(); i++, at = following(at)) {
      if (kept.get(at) == null && kept.compareAndSet(at, null, workspace)) {
        return;
      }
    }
  }

  /** Where a thread looks first: where it has given back its last. */
  private int ofThread() {
    return Math.floorMod(Thread.currentThread().hashCode(), kept.length());
  }

  private int following(int at) {
    return at + 1 == kept.length() ? 0 : at + 1;
  }

  void clear() {
    for (int i = 0; i < kept.length(); i++) {
      kept.set(i, null);
    }
  }
}
