package dev.vbn.bench;

import static java.util.Objects.requireNonNull;

import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/**
 * Times one contender for a moment.
 *
 * <p>JMH would start a JVM for each and measure it for a long time, one after the other. Minutes
 * would then lie between a time and the copy it is divided by, and on a machine with other tenants
 * the ratio would say more about them. So JMH calls and sinks the results here, without a JVM of
 * its own, and {@link Fork} calls it for all contenders in turn, again and again. The time is that
 * of the thread less what it spent waiting for a processor, where the system tells.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class CallBenchmark {
  private static volatile @Nullable Prepared current;
  private static volatile double last;

  private @Nullable Prepared prepared;
  private long calls;
  private long start;

  /** For JMH. */
  public CallBenchmark() {}

  /** Takes the contender whose turn it is. */
  @Setup(Level.Iteration)
  public void take() {
    prepared = current;
    calls = 0;
    start = Machine.nanosecondsOfThread();
  }

  /** One call. */
  @Benchmark
  public Object call() {
    calls++;
    return requireNonNull(prepared).run();
  }

  /** Keeps what a call took. */
  @TearDown(Level.Iteration)
  public void stop() {
    last = (double) (Machine.nanosecondsOfThread() - start) / calls;
  }

  /** Nanoseconds a call takes, over {@code milliseconds} or one call if that takes longer. */
  static double nanoseconds(Prepared contender, long milliseconds) throws RunnerException {
    current = contender;
    try {
      new Runner(new OptionsBuilder()
              .include(CallBenchmark.class.getName() + ".call")
              .forks(0)
              .warmupIterations(0)
              .measurementIterations(1)
              .measurementTime(TimeValue.milliseconds(milliseconds))
              .syncIterations(false)
              .shouldFailOnError(true)
              .verbosity(VerboseMode.SILENT)
              .build())
          .runSingle();
      return last;
    } finally {
      current = null;
    }
  }
}
