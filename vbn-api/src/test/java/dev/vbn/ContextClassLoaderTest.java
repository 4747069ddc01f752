package dev.vbn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.fixture.Choices;
import dev.vbn.fixture.Faulty;
import dev.vbn.testing.Faults;
import dev.vbn.testing.ProviderPath;
import dev.vbn.testing.StubProvider;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Libraries that look for their engines through the thread's context class loader find those next to
 * the provider, from whatever thread.
 */
final class ContextClassLoaderTest {
  @TempDir
  private Path folder;

  private ProviderPath path;

  @BeforeEach
  void emptyClassPath() {
    path = new ProviderPath(folder);
  }

  @AfterEach
  void noFaultLeft() throws IOException {
    Faults.clear();
    path.close();
  }

  @Test
  void probeAndOpenSeeTheProvidersOwn() throws IOException {
    BackendCandidate candidate =
        path.jar("high.jar", Choices.High.class).find().list().get(0);
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    candidate.open().close();

    assertSeen(candidate, 2);
    assertSame(before, Thread.currentThread().getContextClassLoader());
  }

  @Test
  void alsoFromTheCommonPool() throws IOException {
    BackendCandidate candidate =
        path.jar("high.jar", Choices.High.class).find().list().get(0);
    List<ClassLoader> aroundIt = CompletableFuture.supplyAsync(() -> {
          ClassLoader before = Thread.currentThread().getContextClassLoader();
          candidate.open().close();
          return Collections.unmodifiableList(
              Arrays.asList(before, Thread.currentThread().getContextClassLoader()));
        })
        .join();

    assertSeen(candidate, 2);
    assertSame(aroundIt.get(0), aroundIt.get(1));
  }

  @Test
  void alsoWhereTheThreadHasNone() throws IOException {
    BackendCandidate candidate =
        path.jar("high.jar", Choices.High.class).find().list().get(0);
    ClassLoader after = withContext(null, () -> {
      candidate.open().close();
      return Thread.currentThread().getContextClassLoader();
    });

    assertSeen(candidate, 2);
    assertSame(null, after);
  }

  private static <R> R withContext(ClassLoader loader, Supplier<R> call) {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(loader);
    try {
      return call.get();
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  private static void assertSeen(BackendCandidate candidate, int times) {
    ClassLoader own = candidate.provider().getClass().getClassLoader();
    assertNotSame(ContextClassLoaderTest.class.getClassLoader(), own);
    assertEquals(
        Collections.nCopies(times, own), ((StubProvider<?>) candidate.provider()).contextLoaders());
  }

  @ParameterizedTest
  @ValueSource(strings = {"probe", "open", "tensors"})
  void theThreadsOwnIsRestoredWhereTheProviderThrows(String method) throws IOException {
    BackendCandidate candidate =
        path.jar("faulty.jar", Faulty.class).find().list().get(0);
    Faults.set(method, new InternalError("broken"));
    ClassLoader before = Thread.currentThread().getContextClassLoader();

    assertThrows(BackendUnavailableException.class, candidate::open);
    assertSame(before, Thread.currentThread().getContextClassLoader());
  }
}
