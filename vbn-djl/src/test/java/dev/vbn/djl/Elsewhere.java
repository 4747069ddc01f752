package dev.vbn.djl;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ForkJoinPool;
import java.util.function.Predicate;

/**
 * A program whose own class path has neither VBN nor DJL: they are behind a class loader, as in a
 * web application. Prints what becomes of opening {@code djl}.
 */
final class Elsewhere {
  /** System property: the class path that the loader gets. */
  static final String JARS = "jars";

  private Elsewhere() {}

  private static final class Application extends URLClassLoader {
    Application(List<URL> jars) {
      super(jars.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
    }

    void add(List<URL> jars) {
      jars.forEach(this::addURL);
    }
  }

  private static boolean isEngine(String entry) {
    String name = new File(entry).getName();
    return name.startsWith("pytorch-") || name.startsWith("mxnet-");
  }

  private static List<URL> jars(Predicate<String> which) throws MalformedURLException {
    List<URL> jars = new ArrayList<>();
    for (String entry : System.getProperty(JARS).split(File.pathSeparator, -1)) {
      if (!entry.isEmpty() && which.test(entry)) {
        jars.add(new File(entry).toURI().toURL());
      }
    }
    return jars;
  }

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "loader" -> {
        try (Application application = new Application(jars(entry -> true))) {
          open(application);
        }
      }
      case "common-pool" -> {
        try (Application application = new Application(jars(entry -> true))) {
          ForkJoinPool.commonPool().submit(() -> open(application)).join();
        }
      }
      case "shared-library" -> {
        // A server has VBN and DJL, and a web application the engine.
        try (Application server = new Application(jars(entry -> !isEngine(entry)));
            URLClassLoader application =
                new URLClassLoader(jars(Elsewhere::isEngine).toArray(new URL[0]), server)) {
          open(server);
          Thread.currentThread().setContextClassLoader(application);
          open(server);
        }
      }
      case "first-touch" -> {
        try (Application application = new Application(jars(entry -> true))) {
          touch(application);
          open(application);
        }
      }
      case "engine-later" -> {
        try (Application application = new Application(jars(entry -> !isEngine(entry)))) {
          open(application);
          application.add(jars(Elsewhere::isEngine));
          open(application);
        }
      }
      case "no-such-default" -> {
        try (Application application = new Application(jars(entry -> true))) {
          System.setProperty("ai.djl.default_engine", "NoSuchEngine");
          open(application);
          System.clearProperty("ai.djl.default_engine");
          open(application);
        }
      }
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  /** Somebody else uses DJL first, where no engine is to be seen. */
  @SuppressWarnings("SystemOut")
  private static void touch(ClassLoader application) {
    try {
      Class.forName("ai.djl.engine.Engine", true, application)
          .getMethod("getInstance")
          .invoke(null);
      System.out.println("touched with success");
    } catch (ReflectiveOperationException e) {
      System.out.println("touched without success");
    }
  }

  @SuppressWarnings("SystemOut")
  private static void open(ClassLoader application) {
    try {
      Class<?> type = application.loadClass("dev.vbn.VbnBackends");
      Object backends = type.getMethod("find", ClassLoader.class).invoke(null, application);
      Object backend = type.getMethod("open", String.class).invoke(backends, "djl");
      System.out.println("opened " + backend);
    } catch (ReflectiveOperationException e) {
      System.out.println("not opened: " + e.getCause());
    }
  }
}
