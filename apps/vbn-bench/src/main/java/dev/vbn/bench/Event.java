package dev.vbn.bench;

import java.io.Serializable;
import java.util.List;

/** What a fork tells while it runs. */
sealed interface Event extends Serializable {

  /**
   * A contender is there, or is not.
   *
   * @param description of the device; or why it cannot be used
   */
  record Present(String contender, Contender.Kind kind, boolean available, String description)
      implements Event {}

  /** It is about to be prepared or measured; if the JVM dies now, it is the one to blame. */
  record Turn(int comparison, String contender) implements Event {}

  /**
   * A comparison is done.
   *
   * @param measured of every contender that takes part
   */
  record Done(int comparison, List<Sampled> measured) implements Event {}

  /** A contender failed and takes no further part. */
  record Failed(int comparison, String contender, String message) implements Event {}

  /** Nothing more comes. */
  record End() implements Event {}

  /**
   * Times of one contender.
   *
   * @param nanoseconds of a call, one a round, in the order of the rounds
   * @param steady whether it was warm: nothing was being compiled, and its times agreed
   */
  record Sampled(String contender, double[] nanoseconds, boolean steady) implements Serializable {}
}
