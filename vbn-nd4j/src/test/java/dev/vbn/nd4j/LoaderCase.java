package dev.vbn.nd4j;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * What {@link ClassLoadersTest} runs, by reflection on whatever its class loaders load. Prints the
 * first element of a batch of ones that is normalised with beta 4.
 */
enum LoaderCase {
  /** Everything is behind one class loader, and what opens the backend is a task of the common pool. */
  COMMON_POOL {
    @Override
    void run(List<URL> entries) throws Exception {
      Loader all = new Loader(entries, ClassLoader.getPlatformClassLoader());
      CompletableFuture.runAsync(() -> open(all)).get();
    }
  },
  /** The API is the server's, all else a web application's. */
  WEB_APPLICATION {
    @Override
    void run(List<URL> entries) throws Exception {
      List<URL> server = new ArrayList<>(entries);
      server.removeIf(url -> !holds(url, "dev/vbn/VbnBackends.class"));
      List<URL> application = new ArrayList<>(entries);
      application.removeAll(server);
      Loader shared = new Loader(server, ClassLoader.getPlatformClassLoader());
      Loader loader = new Loader(application, shared);
      // Other code has touched ND4J in a thread that sees no backend.
      Class.forName("org.nd4j.common.config.ND4JClassLoading", true, loader);
      open(loader);
    }
  },
  /** The backend comes to the class path after it was missed there. */
  LATE {
    @Override
    void run(List<URL> entries) throws Exception {
      List<URL> natives = new ArrayList<>(entries);
      natives.removeIf(url -> !isNative(url));
      List<URL> others = new ArrayList<>(entries);
      others.removeAll(natives);
      Loader loader = new Loader(others, ClassLoader.getPlatformClassLoader());
      try {
        open(loader);
        throw new AssertionError("opened without a backend of ND4J");
      } catch (IllegalStateException e) {
        if (!e.getMessage().contains("add org.nd4j:nd4j-native")) {
          throw e;
        }
      }
      natives.forEach(loader::addURL);
      open(loader);
    }
  };

  abstract void run(List<URL> entries) throws Exception;

  public static void main(String[] args) throws Exception {
    List<URL> entries = new ArrayList<>();
    for (String entry : Arrays.asList(args).subList(1, args.length)) {
      entries.add(new File(entry).toURI().toURL());
    }
    valueOf(args[0]).run(entries);
  }

  private static boolean isNative(URL url) {
    return url.getPath().contains("/nd4j-native");
  }

  private static boolean holds(URL entry, String resource) {
    try (URLClassLoader alone = new URLClassLoader(new URL[] {entry}, null)) {
      return alone.getResource(resource) != null;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Finds the providers that {@code loader} sees, opens nd4j for plain arrays and computes. */
  private static void open(ClassLoader loader) {
    try {
      Class<?> backends = loader.loadClass("dev.vbn.VbnBackends");
      Object found = backends.getMethod("find", ClassLoader.class).invoke(null, loader);
      Class<?> host = loader.loadClass("dev.vbn.tensor.HostTensor");
      Object backend =
          backends.getMethod("open", String.class, Class.class).invoke(found, "nd4j", host);
      Class<?> configType = loader.loadClass("dev.vbn.VbnConfig");
      Object config = configType.getMethod("of", int.class).invoke(null, 1);
      Class<?> layerType = loader.loadClass("dev.vbn.VirtualBatchNorm");
      Method tensor = host.getMethod("of", float[].class, long[].class);
      Object layer = layerType
          .getMethod("of", loader.loadClass("dev.vbn.VbnBackend"), configType)
          .invoke(null, backend, config);
      Object shifted = layerType
          .getMethod("withBeta", Object.class)
          .invoke(layer, tensor.invoke(null, new float[] {4}, new long[] {1}));
      Object output = layerType
          .getMethod("reference", Object.class)
          .invoke(shifted, tensor.invoke(null, new float[] {1, 1}, new long[] {2, 1}));
      Object result = output.getClass().getMethod("output").invoke(output);
      System.out.println(((float[]) host.getMethod("floats").invoke(result))[0]);
    } catch (InvocationTargetException e) {
      throw new IllegalStateException(String.valueOf(e.getCause()), e);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(e.toString(), e);
    }
  }

  /** One that takes more entries. */
  private static final class Loader extends URLClassLoader {
    Loader(List<URL> entries, ClassLoader parent) {
      super(entries.toArray(new URL[0]), parent);
    }

    @Override
    public void addURL(URL url) {
      super.addURL(url);
    }
  }
}
