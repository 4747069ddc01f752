package dev.vbn.conformance;

import org.opentest4j.TestAbortedException;

/**
 * Skips a check of what the backend declares absent, once the refusal is verified. The kit skips in
 * no other way than this and {@link NoDevice}: a check that anything else aborts counts as failed.
 */
final class DeclaredAbsent extends TestAbortedException {
  private static final long serialVersionUID = 1;

  DeclaredAbsent(String message) {
    super(message);
  }
}
