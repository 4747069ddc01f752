package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.net.URL;
import java.util.Enumeration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A class loader that always fails is asked a bounded number of times, and the listing says so. */
final class BrokenClassLoaderTest {

  @Test
  void theSearchStopsAndSaysSo() {
    assertStops(new Broken("disk gone"));
  }

  @Test
  void theSearchStopsAlsoWhereEachFailureReadsDifferently() {
    assertStops(new Broken("disk gone, request "));
  }

  private static void assertStops(Broken loader) {
    List<BackendCandidate> found = VbnBackends.find(loader).list();

    for (BackendCandidate candidate : found) {
      assertFalse(candidate.availability().available());
      assertHolds(candidate.availability().description(), "disk gone");
    }
    assertHolds(
        found.get(found.size() - 1).availability().description(), "stopped looking for providers");
  }

  /** Fails the test, rather than hang it, when asked too often. */
  private static final class Broken extends ClassLoader {
    private static final int PATIENCE = 1000;

    private final String message;
    private int requests;

    Broken(String message) {
      super(null);
      this.message = message;
    }

    @Override
    public Enumeration<URL> getResources(String name) throws IOException {
      if (++requests > PATIENCE) {
        throw new AssertionError("asked more than " + PATIENCE + " times");
      }
      throw new IOException(message.endsWith(" ") ? message + requests : message);
    }
  }
}
