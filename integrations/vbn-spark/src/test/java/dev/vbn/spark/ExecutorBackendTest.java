package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.spi.VbnProvider;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.spark.api.java.JavaSparkContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The backend of a JVM: found by the thread's loader, opened once, closed at the end. */
class ExecutorBackendTest {
  @TempDir
  Path directory;

  /** As where VBN's API is among Spark's own jars, and the backend among those of the user. */
  private static ClassLoader loader(Path directory) throws IOException {
    Path services = Files.createDirectories(directory.resolve("META-INF/services"));
    Files.writeString(
        services.resolve(VbnProvider.class.getName()), WitnessProvider.class.getName());
    return new URLClassLoader(
        new URL[] {directory.toUri().toURL()}, ExecutorBackendTest.class.getClassLoader());
  }

  private static <T> T under(ClassLoader loader, Callable<T> call) throws Exception {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(loader);
    try {
      return call.call();
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  /** Two tasks at once on a machine of any number of cores: one backend, of one thread. */
  @Test
  void tasksShareOneBackendOfAsManyThreadsAsATaskHasCores() throws Exception {
    // What is not there yet is looked for again: no failure stays.
    assertThrows(IllegalStateException.class, () -> ExecutorBackend.open("witness"));
    ClassLoader loader = loader(directory);
    List<Integer> identities = JavaSparkContext.fromSparkContext(
            LocalSpark.session().sparkContext())
        .parallelize(List.of(1, 2, 3, 4), 4)
        .map(each -> under(
            loader(Files.createTempDirectory("vbn")),
            () -> System.identityHashCode(ExecutorBackend.open("witness"))))
        .collect();
    assertEquals(1, identities.stream().distinct().count(), identities::toString);
    assertEquals(List.of(1), WitnessProvider.OPENED);
    assertSame(
        under(loader, () -> ExecutorBackend.open("witness")), ExecutorBackend.open("witness"));
  }

  @Test
  void theJvmClosesIt() throws Exception {
    Process process = new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp",
            System.getProperty("java.class.path"),
            Opening.class.getName(),
            directory.toString())
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor());
    assertEquals(List.of("opened", "witness closed"), output.lines().toList());
  }

  /** A program that opens a backend and ends. */
  static final class Opening {
    private Opening() {}

    public static void main(String[] arguments) throws Exception {
      under(loader(Path.of(arguments[0])), () -> ExecutorBackend.open("witness"));
      System.out.println("opened");
    }
  }
}
