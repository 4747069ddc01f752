package dev.vbn.spark;

import dev.vbn.BackendUnavailableException;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.tensor.HostTensor;
import java.net.URLClassLoader;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;

/** The backends of this JVM: each is opened once, by the first task that needs it. */
final class ExecutorBackend {
  private static final Map<String, VbnBackend<HostTensor>> OPEN = new HashMap<>();

  private ExecutorBackend() {}

  /**
   * The named backend. Not opened in a static initialiser: only the first task would show the
   * cause, and every retry no more than a {@code NoClassDefFoundError}.
   *
   * @throws IllegalStateException if the class path of this JVM lacks it, or it does not open
   */
  static synchronized VbnBackend<HostTensor> open(String name) {
    VbnBackend<HostTensor> backend = OPEN.get(name);
    if (backend == null) {
      backend = openNew(name);
      if (OPEN.isEmpty()) {
        Runtime.getRuntime().addShutdownHook(new Thread(ExecutorBackend::closeAll));
      }
      OPEN.put(name, backend);
    }
    return backend;
  }

  private static VbnBackend<HostTensor> openNew(String name) {
    // The jars of --jars are behind the context loader, and VBN's API may be before it.
    ClassLoader loader = Thread.currentThread().getContextClassLoader();
    TaskContext task = TaskContext.get();
    // The task has so many cores, whatever the machine has.
    int cores = task == null ? 1 : Math.max(1, task.cpus());
    try {
      return VbnBackends.find(loader).withParallelism(cores).open(name, HostTensor.class);
    } catch (BackendUnavailableException e) {
      throw new IllegalStateException(
          place() + ", class loader " + describe(loader) + ": " + e.getMessage()
              + "\nOn Spark, give vbn-api and the backends' jars together: all by --jars (spark.jars),"
              + " or all in the jars folder of every node's Spark. With"
              + " spark.executor.userClassPathFirst=true they are to be in --jars alone.",
          e);
    }
  }

  private static String place() {
    SparkEnv environment = SparkEnv.get();
    return environment == null ? "outside of Spark" : "executor " + environment.executorId();
  }

  private static String describe(ClassLoader loader) {
    return loader instanceof URLClassLoader urls
        ? Arrays.stream(urls.getURLs())
            .map(url -> url.getPath().substring(url.getPath().lastIndexOf('/') + 1))
            .collect(Collectors.joining(", ", loader + " of [", "]"))
        : String.valueOf(loader);
  }

  private static synchronized void closeAll() {
    OPEN.values().forEach(VbnBackend::close);
  }
}
