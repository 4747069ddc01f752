package dev.vbn.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The code in {@code vbn.c}, built once in each JVM by the C compiler that is here. */
final class CLibrary {
  private static final String SOURCE = "vbn.c";
  private static final String COMPILER = "gcc";

  /** The last four allow sums in another order, and nothing else. */
  private static final List<String> OPTIONS = List.of(
      "-O3",
      "-march=native",
      "-fassociative-math",
      "-fno-signed-zeros",
      "-fno-trapping-math",
      "-fno-math-errno");

  private static final long SECONDS = 60;

  private static @Nullable Availability availability;

  private CLibrary() {}

  /** Whether it is there; builds it when it is first asked. */
  static synchronized Availability availability() {
    Availability known = availability;
    if (known == null) {
      known = build();
      availability = known;
    }
    return known;
  }

  private static Availability build() {
    try {
      Path folder = Files.createTempDirectory("vbn-bench-c-");
      try {
        return build(folder);
      } finally {
        delete(folder);
      }
    } catch (IOException | LinkageError e) {
      return Availability.unavailable("the library in C cannot be built here: " + e, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return Availability.unavailable("building the library in C was interrupted", e);
    }
  }

  private static Availability build(Path folder) throws IOException, InterruptedException {
    Path include = Path.of(System.getProperty("java.home"), "include");
    if (!Files.isRegularFile(include.resolve("jni.h"))) {
      return Availability.unavailable(include + " has no jni.h; expected a JDK", null);
    }
    Path source = folder.resolve(SOURCE);
    try (InputStream in = CLibrary.class.getResourceAsStream(SOURCE)) {
      Files.copy(requireNonNull(in), source);
    }
    Path library = folder.resolve(System.mapLibraryName("vbn"));
    String version = run(folder, List.of(COMPILER, "--version"));
    List<String> command = Stream.of(
            Stream.of(COMPILER),
            OPTIONS.stream(),
            Stream.of("-shared", "-fPIC", "-I" + include, "-I" + include.resolve(platform())),
            Stream.of("-o", library.toString(), source.toString(), "-lm"))
        .flatMap(options -> options)
        .toList();
    String said = run(folder, command);
    if (!Files.exists(library)) {
      return Availability.unavailable(COMPILER + " does not build it: " + firstLine(said), null);
    }
    System.load(library.toString());
    return Availability.available(firstLine(version) + ", " + String.join(" ", OPTIONS));
  }

  /** The name that a JDK has for the system in its include folder. */
  private static String platform() {
    String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    return system.startsWith("windows") ? "win32" : system.startsWith("mac") ? "darwin" : "linux";
  }

  private static String run(Path folder, List<String> command)
      throws IOException, InterruptedException {
    File output = folder.resolve("output").toFile();
    Process process = new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(output)
        .start();
    if (!process.waitFor(SECONDS, TimeUnit.SECONDS)) {
      process.destroyForcibly().waitFor();
      throw new IOException(command.get(0) + " takes more than " + SECONDS + " s");
    }
    return Files.readString(output.toPath(), UTF_8);
  }

  private static String firstLine(String text) {
    return text.lines().findFirst().orElse("it says nothing");
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }

  /**
   * Copies a batch {@code [rows, features, run]} to memory of C.
   *
   * @param dy null without a backward pass
   * @return 0 if there is no memory
   */
  static native long open(
      long rows,
      long features,
      long run,
      double weight,
      double epsilon,
      float[] x,
      float @Nullable [] dy,
      float[] mean,
      float[] variance,
      float[] gamma,
      float[] beta);

  /** Computes the output, or with {@code gradient} dx, into the same memory in every call. */
  static native void run(long batch, boolean ordered, boolean gradient);

  /** Copies the last result out, and the gradients of gamma and beta. */
  static native void read(long batch, float[] out, float[] dgamma, float[] dbeta);

  static native void close(long batch);
}
