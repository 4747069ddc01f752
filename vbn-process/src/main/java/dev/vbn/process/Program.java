package dev.vbn.process;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.state.StateException;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * One running process, and the conversation with it. If it violates the protocol or is late, it is
 * killed with all that it has started: what follows in its answers cannot be trusted.
 */
final class Program implements AutoCloseable {
  /** How long a process may take to end after its last request. */
  private static final Duration PARTING = Duration.ofSeconds(2);

  private static final int MAX_HEADER_BYTES = 1 << 22; // what the reader of safetensors takes
  private static final int TOO_MUCH_BYTES = 1 << 20; // is read, so that what is wrong can be named
  private static final int QUOTED_BYTES = 60;

  private final String command;
  private final Duration timeout;
  private final Process process;
  private final Kin kin;
  private final LastWords lastWords;
  private final OutputStream requests;
  private final BufferedInputStream answers;

  /** Talks, so that the caller can stop waiting whatever the talk is stuck in. */
  private final ExecutorService talk;

  private final Hello hello;
  private long calls;
  private boolean hung;
  private volatile boolean killed;

  private Program(String command, Duration timeout, Process process, Kin kin) {
    this.command = command;
    this.timeout = timeout;
    this.process = process;
    this.kin = kin;
    requests = process.getOutputStream();
    answers = new BufferedInputStream(process.getInputStream());
    lastWords = new LastWords(process);
    talk = Executors.newSingleThreadExecutor(task -> daemon(task, "vbn-process-" + process.pid()));
    // A child that is left has our end of standard output, which would then never end.
    Future<?> unused = process.onExit().thenRun(kin::kill);
    try {
      Message request = Hello.request();
      NamedTensors answer = answer(request);
      try {
        hello = Hello.of(answer);
      } catch (IllegalArgumentException e) {
        throw failure(request, "was answered with what is no hello: " + e.getMessage(), e);
      }
    } catch (RuntimeException e) {
      kill();
      throw e;
    }
  }

  static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    return thread;
  }

  /**
   * Starts the program and lets it introduce itself.
   *
   * @throws ProcessFailedException if it does not, and then it no longer runs
   */
  static Program start(String command, Duration timeout) {
    boolean windows = System.getProperty("os.name", "").startsWith("Windows");
    ProcessBuilder builder = windows
        ? new ProcessBuilder("cmd", "/c", command)
        : new ProcessBuilder("/bin/sh", "-c", command);
    Kin kin = new Kin(builder.environment());
    try {
      Process process = builder.start();
      kin.isOf(process);
      return new Program(command, timeout, process, kin);
    } catch (IOException e) {
      throw new ProcessFailedException("'" + command + "' cannot be started: " + e, e);
    }
  }

  Hello hello() {
    return hello;
  }

  boolean isUsable() {
    return !killed;
  }

  boolean hasHung() {
    return hung;
  }

  /**
   * What it answers.
   *
   * @throws ProcessFailedException if it answers with an error, or does not answer as it must; then
   *     it no longer runs
   */
  NamedTensors answer(Message request) {
    long call = calls++;
    Future<NamedTensors> answer = talk.submit(() -> {
      Safetensors.write(requests, request.numbered(call));
      requests.flush();
      requireHeader();
      return Safetensors.read(answers, 2 * request.answerBytes() + TOO_MUCH_BYTES);
    });
    NamedTensors result;
    try {
      result = answer.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
      request.requireAnswered(result, call);
    } catch (TimeoutException e) {
      hung = true;
      throw failure(request, "was not answered within " + seconds(timeout), null);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw failure(request, "was interrupted by its caller", e);
    } catch (ExecutionException e) {
      throw failure(request, e.getCause());
    } catch (IllegalArgumentException e) {
      throw failure(request, "was answered wrongly: " + e.getMessage(), e);
    }
    String error = result.texts().get("error");
    if (error != null) {
      throw new ProcessFailedException(
          place(request) + "was answered with the error '" + printable(error) + "'", null);
    }
    return result;
  }

  /** What was printed is no message, and is worth more in words than as a length. */
  private void requireHeader() throws IOException {
    answers.mark(QUOTED_BYTES);
    byte[] length = answers.readNBytes(Long.BYTES);
    if (length.length == Long.BYTES) {
      long value = ByteBuffer.wrap(length).order(ByteOrder.LITTLE_ENDIAN).getLong();
      if (value < 0 || value > MAX_HEADER_BYTES) {
        answers.reset();
        byte[] quoted = new byte[Math.min(Math.max(answers.available(), Long.BYTES), QUOTED_BYTES)];
        int read = answers.readNBytes(quoted, 0, quoted.length);
        throw new IllegalArgumentException("it begins with '"
            + printable(new String(quoted, 0, read, UTF_8))
            + "'; expected a message, for standard output carries nothing else (what is printed"
            + " belongs on standard error)");
      }
    }
    answers.reset();
  }

  private ProcessFailedException failure(Message request, @Nullable Throwable cause) {
    if (!(cause instanceof IOException)) {
      return failure(request, "was answered with what is no message: " + words(cause), cause);
    }
    if (hasEnded()) {
      return failure(
          request,
          "was not answered: it ended with exit code " + process.exitValue()
              + (cause instanceof StateException ? ", in the midst of an answer" : ""),
          cause);
    }
    return failure(
        request,
        cause instanceof StateException
            ? "was answered with what is no message: " + words(cause)
            : "was not answered: it closed its standard input or output",
        cause);
  }

  private static String words(@Nullable Throwable cause) {
    return String.valueOf(cause == null ? null : cause.getMessage());
  }

  /** A process that has closed its streams is about to end. */
  private boolean hasEnded() {
    try {
      return process.waitFor(1, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  private ProcessFailedException failure(
      Message request, String problem, @Nullable Throwable cause) {
    kill();
    return new ProcessFailedException(place(request) + problem + lastWords.quoted(), cause);
  }

  private String place(Message request) {
    return "'" + command + "': '" + request.operation() + "' ";
  }

  private static String seconds(Duration time) {
    return String.format(Locale.ROOT, "%.3g s", time.toMillis() / 1000.0);
  }

  static String printable(String text) {
    StringBuilder line = new StringBuilder();
    text.codePoints()
        .forEach(each -> line.append(
            each == '\n'
                ? "\\n"
                : Character.isISOControl(each) || each == 0xfffd
                    ? String.format("\\x%02x", each & 0xff)
                    : Character.toString(each)));
    return line.toString();
  }

  /** Nothing more will be asked. */
  void end() {
    try {
      requests.close();
    } catch (IOException e) {
      // it does not read: then it does not end by itself either
    }
  }

  /** Waits a moment for it to end by itself, and sees to it that it has. */
  @Override
  public void close() {
    end();
    try {
      process.waitFor(PARTING.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    kill();
  }

  /** Ends it and all that it has started. */
  synchronized void kill() {
    killed = true;
    kin.kill();
    if (!talk.isShutdown()) {
      talk.execute(this::closeStreams); // when the talk, which holds them, has met the end
      talk.shutdown();
    }
  }

  private void closeStreams() {
    try {
      answers.close();
      requests.close();
    } catch (IOException e) {
      // what was still to be written has nobody to read it
    }
  }
}
