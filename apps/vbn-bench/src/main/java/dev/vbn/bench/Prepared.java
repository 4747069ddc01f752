package dev.vbn.bench;

import dev.vbn.tensor.HostTensor;
import java.util.List;
import org.openjdk.jmh.runner.RunnerException;

/** A contender with its tensors in memory, at the start line. */
interface Prepared extends AutoCloseable {

  /**
   * What is timed: computes once and lets go of the results.
   *
   * @return anything that depends on the results, so that no compiler leaves them out
   */
  Object run();

  /** Nanoseconds a call takes, over {@code milliseconds} or one call if that takes longer. */
  default double nanoseconds(long milliseconds) throws RunnerException {
    return CallBenchmark.nanoseconds(this, milliseconds);
  }

  /** Computes once and gives the results, as {@link Pass#results} names them. */
  List<HostTensor> results();

  @Override
  void close();
}
