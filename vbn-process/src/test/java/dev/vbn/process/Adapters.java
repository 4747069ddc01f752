package dev.vbn.process;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.conformance.VbnConformance;
import java.io.IOException;
import java.io.UncheckedIOException;

/** The programs of {@code adapters}, as commands. */
final class Adapters {
  private static final String C_PROGRAM = "target/c_backend";

  private static boolean compiled;

  private Adapters() {}

  /** Compiles the adapter in C first; without a compiler the command fails when it is started. */
  static synchronized String c() {
    if (!compiled) {
      compile();
      compiled = true;
    }
    return C_PROGRAM;
  }

  /** Skips a test where an adapter cannot run, or fails where a device is required. */
  static void require(String command) {
    VbnConformance.assumeDevice(new ProcessProvider(command));
  }

  private static void compile() {
    try {
      Process compiler = new ProcessBuilder(
              "gcc",
              "-O2",
              "-Wall",
              "-Wextra",
              "-Werror",
              "-o",
              C_PROGRAM,
              "adapters/c_backend.c",
              "-lm")
          .redirectErrorStream(true)
          .start();
      String words = new String(compiler.getInputStream().readAllBytes(), UTF_8);
      assertEquals(0, compiler.waitFor(), words);
    } catch (IOException e) {
      // no compiler: the kit says that there is no device
    } catch (InterruptedException e) {
      throw new UncheckedIOException(new IOException(e));
    }
  }
}
