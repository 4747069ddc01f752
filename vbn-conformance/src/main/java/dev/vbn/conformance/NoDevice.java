package dev.vbn.conformance;

import org.opentest4j.TestAbortedException;

/** Skips every check of a provider that is not available here. */
final class NoDevice extends TestAbortedException {
  private static final long serialVersionUID = 1;

  NoDevice(String message) {
    super(message);
  }
}
