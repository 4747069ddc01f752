package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.fixture.Engine;
import dev.vbn.fixture.Found;
import dev.vbn.fixture.Seeking;
import dev.vbn.spi.VbnProvider;
import dev.vbn.testing.ProviderPath;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A library whose engine is next to it, or only where the calling thread's class loader sees it: in a
 * web application below a server's shared libraries. Parent-first and child-first.
 */
final class EngineLoadersTest {
  private static final String ENGINES = "META-INF/services/" + Engine.class.getName();
  private static final String PROVIDERS = "META-INF/services/" + VbnProvider.class.getName();

  /** In which order a class loader asks its parent. */
  enum Order {
    PARENT_FIRST,
    CHILD_FIRST
  }

  /** As the class loader of a web application. */
  private static final class ChildFirst extends URLClassLoader {
    ChildFirst(URL[] urls, ClassLoader parent) {
      super(urls, parent);
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      synchronized (getClassLoadingLock(name)) {
        Class<?> loaded = findLoadedClass(name);
        if (loaded != null) {
          return loaded;
        }
        try {
          return findClass(name);
        } catch (ClassNotFoundException e) {
          return super.loadClass(name, resolve);
        }
      }
    }

    @Override
    public URL getResource(String name) {
      URL own = findResource(name);
      return own != null ? own : super.getResource(name);
    }
  }

  @TempDir
  private Path folder;

  private final List<URLClassLoader> made = new ArrayList<>();
  private final ClassLoader tests = ProviderPath.withoutFixtures();
  private URL library;
  private URL engine;

  @BeforeEach
  void writeJars() throws IOException {
    library = ProviderPath.write(
        folder.resolve("library.jar"),
        ProviderPath.entries(
            PROVIDERS,
            ProviderPath.names(Seeking.class),
            ProviderPath.classes(Seeking.class, Engine.class)));
    engine = ProviderPath.write(
        folder.resolve("engine.jar"),
        ProviderPath.entries(
            ENGINES, ProviderPath.names(Found.class), ProviderPath.classes(Found.class)));
  }

  @AfterEach
  void closeLoaders() throws IOException {
    for (URLClassLoader loader : made) {
      loader.close();
    }
  }

  private URLClassLoader loader(Order order, ClassLoader parent, URL... urls) {
    URLClassLoader loader = order == Order.PARENT_FIRST
        ? new URLClassLoader(urls, parent)
        : new ChildFirst(urls, parent);
    made.add(loader);
    return loader;
  }

  private static <R> R inContext(ClassLoader context, Supplier<R> call) {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(context);
    try {
      return call.get();
    } finally {
      assertSame(context, thread.getContextClassLoader(), "put back");
      thread.setContextClassLoader(before);
    }
  }

  private static String opened(VbnBackends backends) {
    try (VbnBackend<?> backend = backends.open("seeking")) {
      return backend.description();
    }
  }

  private static void assertNoEngine(VbnBackends backends, ClassLoader context) {
    inContext(context, () -> {
      assertRefused(
          BackendUnavailableException.class, () -> backends.open("seeking"), "seeking: no engine");
      return null;
    });
  }

  @ParameterizedTest
  @EnumSource
  void anEngineNextToItsLibraryIsFoundFromAnyThread(Order order) {
    URLClassLoader all = loader(order, tests, library, engine);
    VbnBackends backends = VbnBackends.find(all);
    for (ClassLoader context :
        new ClassLoader[] {null, tests, ClassLoader.getSystemClassLoader(), all}) {
      assertEquals("engines: Found", inContext(context, () -> opened(backends)));
    }
    assertEquals(
        "engines: Found", CompletableFuture.supplyAsync(() -> opened(backends)).join());
  }

  @ParameterizedTest
  @EnumSource
  void anEngineOfTheApplicationIsFoundForALibraryThatIsShared(Order order) {
    URLClassLoader shared = loader(Order.PARENT_FIRST, tests, library);
    URLClassLoader application = loader(order, shared, engine);
    for (VbnBackends backends : List.of(VbnBackends.find(shared), VbnBackends.find(application))) {
      assertEquals("engines: Found", inContext(application, () -> opened(backends)));
      assertEquals(
          "engines: Found",
          CompletableFuture.supplyAsync(() -> inContext(application, () -> opened(backends)))
              .join());
    }
  }

  @ParameterizedTest
  @EnumSource
  void thatNoEngineWasSeenIsForgotten(Order order) {
    URLClassLoader shared = loader(Order.PARENT_FIRST, tests, library);
    URLClassLoader application = loader(order, shared, engine);
    VbnBackends backends = VbnBackends.find(shared);
    assertNoEngine(backends, null);
    assertNoEngine(backends, shared);
    assertEquals("engines: Found", inContext(application, () -> opened(backends)));
    assertNoEngine(backends, tests);
  }

  /** A loader that has nothing to do with the provider's, as of a plug-in. */
  @ParameterizedTest
  @EnumSource
  void anEngineForAnotherCopyOfTheLibraryIsPassedOver(Order order) {
    URLClassLoader own = loader(order, tests, library, engine);
    URLClassLoader copy = loader(Order.CHILD_FIRST, own, library, engine);
    assertEquals("engines: Found", inContext(copy, () -> opened(VbnBackends.find(own))));

    URLClassLoader without = loader(order, tests, library);
    assertNoEngine(VbnBackends.find(without), copy);
    assertNoEngine(VbnBackends.find(without), loader(order, tests, library, engine));
  }

  @Test
  void theJoinedLoaderSeesEachFileOnceAndBothSidesClasses() throws Exception {
    URLClassLoader shared = loader(Order.PARENT_FIRST, tests, library);
    URLClassLoader application = loader(Order.PARENT_FIRST, shared, engine);
    ClassLoader joined = JoinedLoader.of(shared, application);

    assertNotSame(shared, joined);
    assertEquals(1, Collections.list(joined.getResources(PROVIDERS)).size());
    assertEquals(1, Collections.list(joined.getResources(ENGINES)).size());
    assertEquals(application.getResource(ENGINES), joined.getResource(ENGINES));
    assertSame(
        application.loadClass(Found.class.getName()), joined.loadClass(Found.class.getName()));
    assertSame(
        shared.loadClass(Seeking.class.getName()), joined.loadClass(Seeking.class.getName()));
  }

  @Test
  void nothingIsJoinedWhereTheProvidersOwnSeesAll() {
    URLClassLoader shared = loader(Order.PARENT_FIRST, tests, library);
    assertSame(shared, JoinedLoader.of(shared, null));
    assertSame(shared, JoinedLoader.of(shared, shared));
    assertSame(shared, JoinedLoader.of(shared, tests));
  }
}
