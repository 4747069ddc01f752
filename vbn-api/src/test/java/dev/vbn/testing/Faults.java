package dev.vbn.testing;

import java.util.concurrent.ConcurrentHashMap;

/**
 * What a fixture throws from which of its methods. Here, so that a test and the fixtures of its
 * class paths share it.
 */
public final class Faults {
  private static final ConcurrentHashMap<String, Throwable> THROWN = new ConcurrentHashMap<>();

  private Faults() {}

  /** Lets a method throw from now on. */
  public static void set(String method, Throwable thrown) {
    THROWN.put(method, thrown);
  }

  /** Lets every method be without fault again. */
  public static void clear() {
    THROWN.clear();
  }

  /** Throws what the method is to throw. */
  public static void at(String method) {
    Throwable thrown = THROWN.get(method);
    if (thrown != null) {
      throw Throwing.unchecked(thrown);
    }
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
