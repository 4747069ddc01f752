package dev.vbn.testing;

import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What a fixture throws, or gives null, from which of its methods. Here, so that a test and the fixtures of its
 * class paths share it.
 */
public final class Faults {
  /** What is thrown, or nothing where null is given. */
  private static final ConcurrentHashMap<String, Optional<Throwable>> FAULTS =
      new ConcurrentHashMap<>();

  private Faults() {}

  /** Lets a method throw from now on. */
  public static void set(String method, Throwable thrown) {
    FAULTS.put(method, Optional.of(thrown));
  }

  /** Lets a method give null from now on. */
  public static void giveNull(String method) {
    FAULTS.put(method, Optional.empty());
  }

  /** Lets every method be without fault again. */
  public static void clear() {
    FAULTS.clear();
  }

  /** Throws what the method is to throw; true if it is to give null. */
  public static boolean at(String method) {
    Optional<Throwable> fault = FAULTS.get(method);
    if (fault != null && fault.isPresent()) {
      throw Throwing.unchecked(fault.get());
    }
    return fault != null;
  }

  /** As ThreadDeath was: an error of no known kind. */
  public static final class Custom extends Error {
    private static final long serialVersionUID = 1;

    /** With a message. */
    public Custom(String message) {
      super(message);
    }
  }

  /** What another language may throw without declaring it. */
  public static final class Checked extends Exception {
    private static final long serialVersionUID = 1;

    /** With a message. */
    public Checked(String message) {
      super(message);
    }
  }

  /** An exception whose cause throws itself. */
  public static final class Causeless extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** With a message. */
    public Causeless(String message) {
      super(message);
    }

    @Override
    public synchronized Throwable getCause() {
      throw new IllegalStateException("no cause");
    }
  }

  /** An exception whose message throws itself. */
  public static final class Mute extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Without a message. */
    public Mute() {}

    @Override
    public String getMessage() {
      throw new IllegalStateException("no words");
    }
  }
}
