package dev.vbn.process;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * A process and all that it has started: its descendants, and on Linux also those that have left
 * the family, because a child whose parent has ended is nobody's. They are recognised by a variable
 * of their environment.
 */
final class Kin {
  private static final String VARIABLE = "VBN_PROCESS";
  private static final Path PROCESSES = Path.of("/proc");
  private static final int ROUNDS = 10; // a process may be starting another meanwhile

  private final String mark = UUID.randomUUID().toString();
  private @Nullable Process process;

  Kin(Map<String, String> environment) {
    environment.put(VARIABLE, mark);
  }

  void isOf(Process started) {
    process = started;
  }

  /** Ends them all; harmless when repeated. */
  synchronized void kill() {
    if (process == null) {
      return;
    }
    for (int round = 0; round < ROUNDS; round++) {
      List<ProcessHandle> found = new ArrayList<>(process.descendants().toList());
      found.addAll(marked());
      if (process.isAlive()) { // else that only closes its streams, with its last words in them
        process.destroyForcibly();
      }
      found.forEach(ProcessHandle::destroyForcibly);
      if (found.isEmpty()) {
        return;
      }
    }
  }

  private List<ProcessHandle> marked() {
    List<ProcessHandle> marked = new ArrayList<>();
    String wanted = VARIABLE + "=" + mark;
    if (!Files.isDirectory(PROCESSES)) {
      return marked;
    }
    try (DirectoryStream<Path> all = Files.newDirectoryStream(PROCESSES, "[0-9]*")) {
      for (Path each : all) {
        if (environment(each).contains(wanted)) {
          ProcessHandle.of(Long.parseLong(each.getFileName().toString())).ifPresent(marked::add);
        }
      }
    } catch (IOException e) {
      // the list is cut: descendants are found without it
    }
    return marked;
  }

  /** Empty for a process that is another user's or has ended. */
  private static String environment(Path process) {
    try {
      return new String(Files.readAllBytes(process.resolve("environ")), ISO_8859_1);
    } catch (IOException e) {
      return "";
    }
  }
}
