package dev.vbn.bench;

import dev.vbn.HostTensor;
import dev.vbn.spi.Availability;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** A copy of the batch into memory that is there already: what no pass over it can undercut. */
final class CopyContender implements Contender {
  static final String NAME = "copy";

  /**
   * Elements below which one thread copies: to wake another takes longer than it saves. An estimate
   * on the safe side; a copy that is too slow would flatter everybody else.
   */
  private static final int LEAST_SHARE = 1 << 17;

  private final int threads;

  CopyContender(int threads) {
    this.threads = threads;
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Kind kind() {
    return Kind.COPY;
  }

  @Override
  public Availability probe() {
    return Availability.available("System.arraycopy of the batch into an array that is there");
  }

  @Override
  public Optional<Prepared> prepare(Workload workload, Pass pass) {
    return Optional.of(new Copy(workload.x()));
  }

  private final class Copy implements Prepared {
    private final long[] shape;
    private final float[] source;
    private final float[] target;
    private final int shares;

    Copy(HostTensor x) {
      shape = x.shape();
      source = x.floats();
      target = new float[source.length];
      shares = Math.max(1, Math.min(threads, source.length / LEAST_SHARE));
    }

    @Override
    public Object run() {
      if (shares == 1) {
        System.arraycopy(source, 0, target, 0, source.length);
      } else {
        IntStream.range(0, shares).parallel().forEach(this::copy);
      }
      return target;
    }

    private void copy(int share) {
      int from = (int) ((long) source.length * share / shares);
      int to = (int) ((long) source.length * (share + 1) / shares);
      System.arraycopy(source, from, target, from, to - from);
    }

    @Override
    public List<HostTensor> results() {
      run();
      return List.of(HostTensor.of(target, shape));
    }

    @Override
    public void close() {}
  }
}
