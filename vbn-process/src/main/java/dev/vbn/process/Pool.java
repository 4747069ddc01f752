package dev.vbn.process;

import dev.vbn.state.NamedTensors;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/**
 * The processes of one backend. Each has one request at a time; one that has failed is replaced for
 * the next call. After one that hung there is no next call: the time limit is waited out only once.
 */
final class Pool implements AutoCloseable {
  private final String command;
  private final Duration timeout;
  private final Semaphore permits;
  private final Hello hello;
  private final Deque<Program> idle = new ArrayDeque<>();
  private final Set<Program> running = new HashSet<>();
  private final Thread atExit = new Thread(this::kill, "vbn-process-exit");
  private @Nullable ProcessFailedException hung;
  private boolean closed;

  Pool(String command, Duration timeout, int most) {
    this.command = command;
    this.timeout = timeout;
    permits = new Semaphore(most);
    Program first = Program.start(command, timeout);
    hello = first.hello();
    idle.push(first);
    running.add(first);
    Runtime.getRuntime().addShutdownHook(atExit);
  }

  Hello hello() {
    return hello;
  }

  /** The answer of one process, which has the tensors that were expected. */
  NamedTensors answer(Message request) {
    permits.acquireUninterruptibly();
    try {
      Program program = take();
      try {
        return program.answer(request);
      } catch (ProcessFailedException e) {
        noteIfHung(program, e);
        throw e;
      } finally {
        giveBack(program);
      }
    } finally {
      permits.release();
    }
  }

  private Program take() {
    synchronized (this) {
      requireUsable();
      Program known = idle.poll();
      if (known != null) {
        return known;
      }
    }
    Program next = Program.start(command, timeout);
    synchronized (this) {
      if (!next.hello().equals(hello)) {
        next.kill();
        throw new ProcessFailedException(
            "another process of '" + command + "' says " + next.hello() + "; expected " + hello
                + ", as the first said",
            null);
      }
      if (closed) {
        next.kill();
      }
      requireUsable();
      running.add(next);
    }
    return next;
  }

  private void requireUsable() {
    if (closed) {
      throw new IllegalStateException("the backend is closed; expected an open one");
    }
    if (hung != null) {
      throw new ProcessFailedException("was given up: " + hung.getMessage(), hung);
    }
  }

  private synchronized void noteIfHung(Program program, ProcessFailedException failure) {
    if (program.hasHung()) {
      hung = failure;
    }
  }

  private synchronized void giveBack(Program program) {
    if (program.isUsable() && !closed) {
      idle.push(program);
    } else {
      program.kill();
      running.remove(program);
    }
  }

  /** Lets idle processes end by themselves for a moment. */
  @Override
  public void close() {
    Set<Program> last;
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
      last = Set.copyOf(running);
      idle.clear();
      running.clear();
    }
    last.forEach(Program::end);
    last.forEach(Program::close);
    try {
      Runtime.getRuntime().removeShutdownHook(atExit);
    } catch (IllegalStateException e) {
      // the JVM is on its way out, and the hook has done its work or will
    }
  }

  private void kill() {
    Set<Program> last;
    synchronized (this) {
      closed = true;
      last = Set.copyOf(running);
    }
    last.forEach(Program::kill);
  }
}
