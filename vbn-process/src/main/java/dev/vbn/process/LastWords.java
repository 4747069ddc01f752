package dev.vbn.process;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.List;

/** The end of what a process has written to standard error, however much that is. */
final class LastWords {
  private static final int KEPT_BYTES = 1 << 13;
  private static final int LINES = 5;
  private static final int QUOTED_CHARACTERS = 1000;

  private final byte[] kept = new byte[KEPT_BYTES];
  private final Thread reader;
  private int size;

  LastWords(Process process) {
    InputStream errors = process.getErrorStream();
    reader = Program.daemon(() -> read(errors), "vbn-process-" + process.pid() + "-errors");
    reader.start();
  }

  private void read(InputStream errors) {
    byte[] chunk = new byte[KEPT_BYTES];
    try (errors) {
      int length = errors.read(chunk);
      while (length >= 0) {
        keep(chunk, length);
        length = errors.read(chunk);
      }
    } catch (IOException e) {
      // closed with the process
    }
  }

  private synchronized void keep(byte[] chunk, int length) {
    int before = Math.min(size, KEPT_BYTES - length);
    System.arraycopy(kept, size - before, kept, 0, before);
    System.arraycopy(chunk, 0, kept, before, length);
    size = before + length;
  }

  /** For the end of a message; the process has ended, or goes on. */
  String quoted() {
    try {
      reader.join(1000); // what was written before the end may still be on its way
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    String text;
    synchronized (this) {
      text = new String(kept, 0, size, UTF_8);
    }
    List<String> lines = Arrays.stream(text.strip().split("\\R")).toList();
    String last =
        String.join(" | ", lines.subList(Math.max(0, lines.size() - LINES), lines.size()));
    if (last.isEmpty()) {
      return "; it wrote nothing to standard error";
    }
    int begin = Math.max(0, last.length() - QUOTED_CHARACTERS);
    return "; its last words on standard error: " + Program.printable(last.substring(begin));
  }
}
