package dev.vbn.bench;

import dev.vbn.spi.Availability;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A copy of the batch. Into memory that is there already it is the yardstick: what no pass over the
 * batch can undercut. Into a new array it shows what a new result costs by itself.
 */
final class CopyContender implements Contender {
  static final String NAME = "copy";

  /**
   * Elements below which one thread copies: to wake another takes longer than it saves. An estimate
   * on the safe side; a copy that is too slow would flatter everybody else.
   */
  private static final int LEAST_SHARE = 1 << 17;

  private final int threads;
  private final boolean newArray;

  private CopyContender(int threads, boolean newArray) {
    this.threads = threads;
    this.newArray = newArray;
  }

  /** The yardstick. */
  static CopyContender of(int threads) {
    return new CopyContender(threads, false);
  }

  static CopyContender intoNewArray() {
    return new CopyContender(1, true);
  }

  @Override
  public String name() {
    return newArray ? NAME + ", new array" : NAME;
  }

  @Override
  public Kind kind() {
    return Kind.COPY;
  }

  @Override
  public Availability probe() {
    return Availability.available(
        newArray
            ? "the same by one thread, into a new array in every call"
            : "System.arraycopy of the batch into an array that is there");
  }

  @Override
  public Optional<Prepared> prepare(Workload workload, Pass pass) {
    // A step has two results.
    return newArray && pass == Pass.STEP ? Optional.empty() : Optional.of(new Copy(workload.x()));
  }

  private final class Copy implements Prepared {
    private final long[] shape;
    private final float[] source;
    private final int shares;

    /** Null where each call makes a new one. */
    private final float @Nullable [] given;

    Copy(HostTensor x) {
      shape = x.shape();
      source = x.floats();
      given = newArray ? null : new float[source.length];
      shares = Math.max(1, Math.min(threads, source.length / LEAST_SHARE));
    }

    @Override
    public Object run() {
      return copy();
    }

    private float[] copy() {
      float[] target = given;
      if (target == null) {
        return source
            .clone(); // by one thread: several need an array that has been zeroed, which takes
        // longer
      }
      if (shares == 1) {
        System.arraycopy(source, 0, target, 0, source.length);
      } else {
        IntStream.range(0, shares).parallel().forEach(share -> copy(share, target));
      }
      return target;
    }

    private void copy(int share, float[] to) {
      int from = (int) ((long) source.length * share / shares);
      int end = (int) ((long) source.length * (share + 1) / shares);
      System.arraycopy(source, from, to, from, end - from);
    }

    @Override
    public List<HostTensor> results() {
      return List.of(HostTensor.of(copy(), shape));
    }

    @Override
    public void close() {}
  }
}
