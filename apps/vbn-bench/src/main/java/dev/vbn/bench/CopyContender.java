package dev.vbn.bench;

import dev.vbn.spi.Availability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A copy of the batch. Into existing memory it is the yardstick: what no pass over the batch can
 * undercut. Into a new array it shows what a new result costs by itself.
 */
final class CopyContender implements Contender {
  static final String NAME = "copy";

  /**
   * Elements below which one thread copies: waking another takes longer than it saves. An estimate
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
  public Task task() {
    return Task.COPY;
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
    private final HostTensor source;
    private final int shares;

    /** An array; null where each call makes a new one. */
    private final @Nullable Object given;

    Copy(HostTensor x) {
      source = x;
      given = newArray ? null : elements(HostTensor.zeros(x.dtype(), x.shape()));
      shares = Math.max(1, Math.min(threads, x.size() / LEAST_SHARE));
    }

    private Object elements(HostTensor tensor) {
      return tensor.dtype() == DType.FLOAT64 ? tensor.doubles() : tensor.floats();
    }

    @Override
    public Object run() {
      Object from = elements(source);
      Object target = given;
      if (target == null) {
        // By one thread: several need an array that has been zeroed, which takes longer.
        return from instanceof float[] floats ? floats.clone() : ((double[]) from).clone();
      }
      if (shares == 1) {
        System.arraycopy(from, 0, target, 0, source.size());
      } else {
        IntStream.range(0, shares).parallel().forEach(share -> copy(share, from, target));
      }
      return target;
    }

    private void copy(int share, Object from, Object to) {
      int first = (int) ((long) source.size() * share / shares);
      int end = (int) ((long) source.size() * (share + 1) / shares);
      System.arraycopy(from, first, to, first, end - first);
    }

    @Override
    public List<HostTensor> results() {
      Object copy = run();
      return List.of(
          copy instanceof float[] floats
              ? HostTensor.of(floats, source.shape())
              : HostTensor.of((double[]) copy, source.shape()));
    }

    @Override
    public void close() {}
  }
}
