package dev.vbn.bench;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import dev.vbn.cli.ErrorLine;
import dev.vbn.cli.Progress;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.StreamCorruptedException;
import java.lang.module.ModuleFinder;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Runs {@link Fork}s and gathers what they tell. A fork that dies takes nobody with it but the
 * contender whose turn it was: another fork goes on without it.
 */
final class ForkProcess {
  private static final String VECTOR_MODULE = "jdk.incubator.vector";
  private static final int FIRST_WITH_RESTRICTED_NATIVES = 22;
  private static final int FIRST_WITH_DEPRECATED_UNSAFE = 23;
  private static final long SECONDS_TO_DIE = 10;

  private final List<String> backends;
  private final Progress progress;

  private final Map<String, BenchReport.Entry> contenders = new LinkedHashMap<>();
  private final List<Measurement> measurements = new ArrayList<>();
  private final List<String> notMeasured = new ArrayList<>();

  ForkProcess(List<String> backends, Progress progress) {
    this.backends = List.copyOf(backends);
    this.progress = progress;
  }

  List<BenchReport.Entry> contenders() {
    return List.copyOf(contenders.values());
  }

  List<Measurement> measurements() {
    return measurements;
  }

  List<String> notMeasured() {
    return notMeasured;
  }

  /** Options of the JVM for a number of threads. */
  static List<String> options(int threads, List<Comparison> comparisons) {
    long heap = comparisons.stream().mapToLong(Comparison::heapBytes).max().orElseThrow();
    List<String> options = new ArrayList<>();
    // The whole heap from the start, or its growth would be measured.
    options.add("-Xms" + (heap >> 20) + "m");
    options.add("-Xmx" + (heap >> 20) + "m");
    options.add("-XX:+UseParallelGC"); // one thread would choose another collector than two
    options.add("-XX:ActiveProcessorCount=" + threads);
    if (ModuleFinder.ofSystem().find(VECTOR_MODULE).isPresent()) {
      options.add("--add-modules=" + VECTOR_MODULE);
    }
    int java = Runtime.version().feature();
    if (java >= FIRST_WITH_RESTRICTED_NATIVES) {
      options.add("--enable-native-access=ALL-UNNAMED");
    }
    if (java >= FIRST_WITH_DEPRECATED_UNSAFE) {
      options.add("--sun-misc-unsafe-memory-access=allow"); // JMH, ND4J
    }
    options.add("-Djava.awt.headless=true");
    options.add("-Dslf4j.internal.verbosity=ERROR");
    options.add("-Dai.djl.offline=true");
    options.add("-Dai.djl.pytorch.num_threads=" + threads);
    options.add("-Dai.djl.pytorch.num_interop_threads=1");
    options.add("-Dorg.bytedeco.javacpp.maxbytes=0"); // or it would collect garbage by itself
    options.add("-Dorg.bytedeco.javacpp.maxphysicalbytes=0");
    return options;
  }

  /**
   * Measures with a number of threads.
   *
   * @param milliseconds in which to be done
   */
  void run(int threads, List<Comparison> comparisons, long milliseconds) throws IOException {
    long deadline = System.nanoTime() + milliseconds * 1_000_000;
    int first = 0;
    List<String> dead = new ArrayList<>();
    while (first < comparisons.size()) {
      long left = Math.max(1, (deadline - System.nanoTime()) / 1_000_000);
      Plan plan = new Plan(backends, dead, threads, comparisons, first, left);
      Outcome outcome = run(plan);
      first = outcome.next;
      if (outcome.failure == null) {
        return;
      }
      Event.Turn blamed = outcome.turn;
      if (blamed == null || dead.contains(blamed.contender())) {
        throw new IOException("the JVM that measures died: " + outcome.failure);
      }
      dead.add(blamed.contender());
      fail(threads, comparisons.get(blamed.comparison()), blamed.contender(), outcome.failure);
    }
  }

  /**
   * How a fork ended.
   *
   * @param next comparison that is still to be done
   * @param turn whose turn it was at the end
   * @param failure null if it came to its end
   */
  private record Outcome(
      int next, Event.@Nullable Turn turn, @Nullable String failure) {}

  private Outcome run(Plan plan) throws IOException {
    Path errors = Files.createTempFile("vbn-bench-", ".log");
    errors.toFile().deleteOnExit(); // for an interrupt
    Process process = start(plan, errors);
    Thread atExit = new Thread(process::destroyForcibly, "vbn-bench");
    Runtime.getRuntime().addShutdownHook(atExit);
    try {
      return follow(plan, process, errors);
    } finally {
      process.destroyForcibly();
      Files.delete(errors);
      removeHook(atExit);
    }
  }

  private static void removeHook(Thread atExit) {
    try {
      Runtime.getRuntime().removeShutdownHook(atExit);
    } catch (IllegalStateException e) {
      // It runs: this process is ending.
    }
  }

  private static Process start(Plan plan, Path errors) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(options(plan.threads(), plan.comparisons()));
    command.add("-cp");
    command.add(classPath());
    command.add(Fork.class.getName());
    ProcessBuilder builder = new ProcessBuilder(command).redirectError(errors.toFile());
    builder.environment().put("OMP_NUM_THREADS", Integer.toString(plan.threads()));
    builder.environment().put("MKL_NUM_THREADS", Integer.toString(plan.threads()));
    builder.environment().put("OPT_OUT_TRACKING", "true");
    return builder.start();
  }

  /** This JVM's own, and what {@code --class-path} added to it. */
  private static String classPath() {
    StringBuilder path = new StringBuilder(System.getProperty("java.class.path"));
    if (Thread.currentThread().getContextClassLoader() instanceof URLClassLoader more) {
      for (URL url : more.getURLs()) {
        path.append(File.pathSeparator).append(Path.of(URI.create(url.toString())));
      }
    }
    return path.toString();
  }

  private Outcome follow(Plan plan, Process process, Path errors) throws IOException {
    int next = plan.first();
    Event.Turn turn = null;
    try (ObjectOutputStream to = new ObjectOutputStream(process.getOutputStream())) {
      to.writeObject(plan);
      to.flush();
      ObjectInputStream from = new ObjectInputStream(process.getInputStream());
      while (true) {
        Event event = (Event) from.readObject();
        if (event instanceof Event.Turn now) {
          turn = now;
          show(plan, now);
        } else if (event instanceof Event.Done done) {
          next = done.comparison() + 1;
          keep(plan, done);
        } else if (event instanceof Event.Present present) {
          // The fork with most threads comes last, and its description stays.
          BenchReport.Entry before = contenders.get(present.contender());
          contenders.put(
              present.contender(),
              new BenchReport.Entry(
                  present.contender(),
                  present.kind(),
                  present.available(),
                  present.description(),
                  before == null ? null : before.failure()));
        } else if (event instanceof Event.Failed failed) {
          fail(
              plan.threads(),
              plan.comparisons().get(failed.comparison()),
              failed.contender(),
              failed.message());
        } else {
          return new Outcome(plan.comparisons().size(), turn, null);
        }
      }
    } catch (EOFException | StreamCorruptedException e) {
      return new Outcome(next, turn, lastWords(process, errors));
    } catch (IOException e) { // it closed its input without reading it
      if (turn == null) {
        throw new IOException(
            "the JVM that measures did not start: " + lastWords(process, errors), e);
      }
      return new Outcome(next, turn, lastWords(process, errors));
    } catch (ClassNotFoundException e) {
      throw new IllegalStateException(e); // both have the same class path
    }
  }

  private void show(Plan plan, Event.Turn turn) {
    Comparison comparison = plan.comparisons().get(turn.comparison());
    progress.show(String.format(
        "%s, %d/%d: %s: %s",
        Units.threads(plan.threads()),
        turn.comparison() + 1,
        plan.comparisons().size(),
        comparison.label(),
        turn.contender()));
  }

  private void keep(Plan plan, Event.Done done) {
    Comparison comparison = plan.comparisons().get(done.comparison());
    double[] copy = done.measured().stream()
        .filter(sampled -> sampled.contender().equals(CopyContender.NAME))
        .findFirst()
        .orElseThrow(() -> new IllegalStateException("the copy failed; expected it to succeed"))
        .nanoseconds();
    for (Event.Sampled sampled : done.measured()) {
      measurements.add(new Measurement(
          plan.threads(),
          comparison,
          sampled.contender(),
          sampled.nanoseconds(),
          copy,
          sampled.steady()));
    }
  }

  private void fail(int threads, Comparison comparison, String contender, String why) {
    String message =
        "at " + comparison.label() + ", " + Units.threads(threads) + ": " + ErrorLine.of(why);
    BenchReport.Entry entry = contenders.get(contender);
    contenders.put(
        contender,
        entry == null
            ? new BenchReport.Entry(
                contender, Contender.Kind.BACKEND, true, "could not be asked", message)
            : entry.failed(message));
    notMeasured.add(contender + " " + message);
  }

  private static String lastWords(Process process, Path errors) throws IOException {
    try {
      if (!process.waitFor(SECONDS_TO_DIE, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      process.destroyForcibly();
      return "interrupted";
    }
    List<String> lines = Files.readAllLines(errors, ISO_8859_1).stream()
        .filter(line -> !line.isBlank() && !line.startsWith("WARNING:"))
        .toList();
    String said = lines.isEmpty() ? "" : ": " + lines.get(0);
    return "its JVM ended with exit code " + process.exitValue() + said;
  }
}
