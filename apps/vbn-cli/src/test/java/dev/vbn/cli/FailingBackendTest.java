package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.HostTensorAccess;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.state.Npy;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Proxy;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Backends that fail: exit code 1 and one line. They are on a class path of their own, so that no
 * other test finds them.
 */
class FailingBackendTest {
  @TempDir
  Path directory;

  private URLClassLoader classPath;

  /** Opens, and then throws whatever it is to compute. */
  public static class Throwing implements VbnProvider<HostTensor> {
    @Override
    public String name() {
      return "throwing";
    }

    @Override
    public int priority() {
      return 1;
    }

    @Override
    public TensorType<HostTensor> tensorType() {
      return TensorType.of(HostTensor.class);
    }

    @Override
    public Availability probe() {
      return Availability.available("a device on fire", List.of("fire:0", "fire:1"));
    }

    @Override
    @SuppressWarnings("unchecked")
    public Kernels<HostTensor> open(BackendOptions options) {
      return (Kernels<HostTensor>) Proxy.newProxyInstance(
          getClass().getClassLoader(),
          new Class<?>[] {Kernels.class},
          (proxy, method, arguments) -> switch (method.getName()) {
            case "capabilities" -> Set.of();
            case "tensors" -> new HostTensorAccess();
            case "close", "description" -> null;
            default -> throw failure(options);
          });
    }

    RuntimeException failure(BackendOptions options) {
      return new IllegalArgumentException(
          options.device() == null
              ? "the device\nburns"
              : options.device() + " burns with " + options.parallelism() + " threads");
    }
  }

  /** Runs out of memory. */
  public static final class Exhausted extends Throwing {
    @Override
    public String name() {
      return "exhausted";
    }

    @Override
    RuntimeException failure(BackendOptions options) {
      throw new OutOfMemoryError("Java heap space");
    }
  }

  /** Has tensors of its own. */
  public static final class Foreign implements VbnProvider<StringBuilder> {
    @Override
    public String name() {
      return "foreign";
    }

    @Override
    public int priority() {
      return 1;
    }

    @Override
    public TensorType<StringBuilder> tensorType() {
      return TensorType.of(StringBuilder.class);
    }

    @Override
    public Availability probe() {
      return Availability.available("a device of its own");
    }

    @Override
    public Kernels<StringBuilder> open(BackendOptions options) {
      throw new IllegalStateException("opened; expected only to be listed");
    }
  }

  /** Cannot be used here. */
  public static final class Absent extends Throwing {
    @Override
    public String name() {
      return "absent";
    }

    @Override
    public Availability probe() {
      return Availability.unavailable("no such device; expected one", null);
    }
  }

  @BeforeEach
  void writeFiles() throws Exception {
    Path services = Files.createDirectories(directory.resolve("class-path/META-INF/services"));
    Files.writeString(
        services.resolve(VbnProvider.class.getName()),
        Throwing.class.getName() + "\n" + Exhausted.class.getName() + "\n" + Absent.class.getName()
            + "\n");
    classPath = new URLClassLoader(
        new URL[] {
          origin(Main.class),
          origin(VbnBackends.class),
          origin(Npy.class),
          origin(picocli.CommandLine.class),
          origin(FailingBackendTest.class),
          directory.resolve("class-path").toUri().toURL()
        },
        ClassLoader.getPlatformClassLoader());
    Npy.write(directory.resolve("x.npy"), HostTensor.zeros(DType.FLOAT32, 2, 3));
  }

  @AfterEach
  void closeClassPath() throws IOException {
    classPath.close();
  }

  private static URL origin(Class<?> type) {
    return type.getProtectionDomain().getCodeSource().getLocation();
  }

  private CommandLine run(String... arguments) throws Exception {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int exitCode = (int) classPath
        .loadClass(Main.class.getName())
        .getMethod("run", PrintWriter.class, PrintWriter.class, String[].class)
        .invoke(null, new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    return new CommandLine(exitCode, out.toString(), err.toString());
  }

  private CommandLine normalize(String... options) throws Exception {
    String x = directory.resolve("x.npy").toString();
    String y = directory.resolve("y.npy").toString();
    List<String> arguments = new ArrayList<>(
        List.of("normalize", "--reference", x, "--input", x, "--output", y, "--backend"));
    arguments.addAll(List.of(options));
    CommandLine run = run(arguments.toArray(String[]::new));
    assertEquals(1, run.err().lines().count(), run.err());
    File[] files = directory.toFile().listFiles(File::isFile);
    assertEquals(1, files.length, "only x.npy");
    return run;
  }

  @Test
  void aFailureIsOneLine() throws Exception {
    CommandLine run = normalize("throwing");
    assertEquals(1, run.exitCode(), run.err());
    assertTrue(run.err().contains("IllegalArgumentException: the device burns"), run.err());
  }

  @Test
  void deviceAndThreadsReachTheBackend() throws Exception {
    CommandLine run = normalize("throwing", "--device", "fire:1", "--threads", "3");
    assertEquals(1, run.exitCode(), run.err());
    assertTrue(run.err().contains("fire:1 burns with 3 threads"), run.err());
    CommandLine none = normalize("throwing", "--device", "water:0");
    assertEquals(2, none.exitCode(), none.err());
    assertTrue(
        none.err()
            .contains("device is 'water:0'; expected one of backend 'throwing': fire:0, fire:1"),
        none.err());
  }

  @Test
  void traceShowsMore() throws Exception {
    String x = directory.resolve("x.npy").toString();
    String y = directory.resolve("y.npy").toString();
    CommandLine run = run(
        "normalize",
        "--reference",
        x,
        "--input",
        x,
        "--output",
        y,
        "--backend",
        "throwing",
        "--trace");
    assertEquals(1, run.exitCode());
    assertTrue(run.err().contains("Caused by: java.lang.IllegalArgumentException"), run.err());
  }

  @Test
  void exhaustedMemoryIsOneLine() throws Exception {
    CommandLine run = normalize("exhausted");
    assertEquals(1, run.exitCode(), run.err());
    assertTrue(run.err().contains("out of memory (Java heap space); expected"), run.err());
  }

  @Test
  void anUnavailableBackendIsNeverReplaced() throws Exception {
    CommandLine run = normalize("absent");
    assertEquals(1, run.exitCode(), run.err());
    assertTrue(run.err().contains("absent: no such device; expected one"), run.err());
  }

  @Test
  void listingBackendsSucceeds() throws Exception {
    CommandLine run = run("backends").succeeded();
    assertTrue(run.out().contains("no such device; expected one"), run.out());
    assertTrue(run.out().contains("a device on fire"), run.out());
    assertTrue(run.out().contains("devices: fire:0, fire:1"), run.out());
  }

  @Test
  void anUnknownNameListsWhatWasFound() throws Exception {
    CommandLine run = run("conform", "--backend", "abacus");
    assertEquals(2, run.exitCode());
    assertTrue(run.err().contains("expected one of absent, exhausted, throwing"), run.err());
  }

  @Test
  void conformingFailsWhereTheNamedBackendIsUnavailable() throws Exception {
    CommandLine run = run("conform", "--backend", "absent");
    assertEquals(1, run.exitCode());
    assertTrue(run.out().contains("unavailable: no such device; expected one"), run.out());
    assertFalse(run.out().contains("conforms"), run.out());
  }
}
