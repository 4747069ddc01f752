package dev.vbn.process;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.MaskedKernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * The backend {@code process}: a program that reads requests on its standard input and writes
 * answers to its standard output. It may be written in any language; docs/PROCESS.md has the
 * protocol, and {@code adapters} has programs to copy.
 *
 * <p>Each thread that computes has a process of its own, of which there are at most as many as
 * {@link BackendOptions#parallelism} says. Closing the backend ends them, and what they have
 * started.
 */
public final class ProcessProvider implements VbnProvider<HostTensor> {
  /** System property: the command that starts the program, in the words of the system's shell. */
  public static final String COMMAND_PROPERTY = "vbn.process.command";

  /** System property: seconds that one answer may take, the start of the program included. */
  public static final String TIMEOUT_PROPERTY = "vbn.process.timeout";

  private static final String DEFAULT_TIMEOUT = "60";

  private final @Nullable String command;
  private final @Nullable Duration timeout;
  private @Nullable Availability known;

  /** For {@link java.util.ServiceLoader}: both are what the system properties say. */
  public ProcessProvider() {
    command = null;
    timeout = null;
  }

  /** A program of one's own, with the time limit that the system property says. */
  public ProcessProvider(String command) {
    this.command = requireNonNull(command, "command is null; expected what starts the program");
    timeout = null;
  }

  /**
   * A program of one's own.
   *
   * @param timeout of one answer
   */
  public ProcessProvider(String command, Duration timeout) {
    this.command = requireNonNull(command, "command is null; expected what starts the program");
    this.timeout = requireNonNull(timeout, "timeout is null; expected that of one answer");
  }

  @Override
  public String name() {
    return "process";
  }

  /** Last, for it is a program to be compared with others. */
  @Override
  public int priority() {
    return -100;
  }

  @Override
  public TensorType<HostTensor> tensorType() {
    return TensorType.of(HostTensor.class);
  }

  /** Starts the program once, and asks who it is; then repeats what it said. */
  @Override
  public synchronized Availability probe() {
    if (known == null) {
      known = ask();
    }
    return known;
  }

  private Availability ask() {
    String words = command == null ? System.getProperty(COMMAND_PROPERTY) : command;
    if (words == null || words.isBlank()) {
      return Availability.unavailable(
          COMMAND_PROPERTY + " is not set; expected the command that starts a program, see"
              + " docs/PROCESS.md",
          null);
    }
    try (Program program = Program.start(words, timeout())) {
      return Availability.available(program.hello().name() + ", by " + words);
    } catch (RuntimeException e) {
      return Availability.unavailable(String.valueOf(e.getMessage()), e);
    }
  }

  @Override
  public Kernels<HostTensor> open(BackendOptions options) {
    String words = command == null ? System.getProperty(COMMAND_PROPERTY) : command;
    requireNonNull(words, COMMAND_PROPERTY + " is not set; expected a command");
    return MaskedKernels.ofArrays(
        new ProcessKernels(new Pool(words, timeout(), options.parallelism())));
  }

  private Duration timeout() {
    if (timeout != null) {
      return timeout;
    }
    String text = System.getProperty(TIMEOUT_PROPERTY, DEFAULT_TIMEOUT);
    try {
      double seconds = Double.parseDouble(text);
      if (seconds > 0 && seconds < 1e9) {
        return Duration.ofMillis((long) Math.ceil(seconds * 1000));
      }
    } catch (NumberFormatException e) {
      // refused below, as numbers out of range are
    }
    throw new IllegalArgumentException(
        TIMEOUT_PROPERTY + " is '" + text + "'; expected seconds above 0");
  }
}
