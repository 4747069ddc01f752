package dev.vbn.testing;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.vbn.VbnBackends;
import dev.vbn.spi.VbnProvider;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import org.jspecify.annotations.Nullable;

/** A class path that a test writes, of jars and folders with classes of {@code dev.vbn.fixture}. */
public final class ProviderPath implements AutoCloseable {
  private static final String SERVICES = "META-INF/services/" + VbnProvider.class.getName();
  private static final String FIXTURES = "dev.vbn.fixture.";

  private final Path root;
  private final List<URL> urls = new ArrayList<>();
  private @Nullable URLClassLoader loader;

  /** An empty one, which writes into {@code root}. */
  public ProviderPath(Path root) {
    this.root = root;
  }

  /** Adds a jar that holds and lists {@code providers}. */
  public ProviderPath jar(String name, Class<?>... providers) throws IOException {
    return jar(name, names(providers), classes(providers));
  }

  /** Adds a jar that lists {@code services}, one a line, and holds {@code classes} by name. */
  public ProviderPath jar(String name, List<String> services, Map<String, byte[]> classes)
      throws IOException {
    urls.add(write(root.resolve(name), entries(services, classes)));
    return this;
  }

  /** As {@link #jar(String, List, Map)}, as a folder. */
  public ProviderPath folder(String name, List<String> services, Map<String, byte[]> classes)
      throws IOException {
    Path folder = root.resolve(name);
    for (Map.Entry<String, byte[]> entry : entries(services, classes).entrySet()) {
      Path file = folder.resolve(entry.getKey());
      Files.createDirectories(file.getParent());
      Files.write(file, entry.getValue());
    }
    urls.add(folder.toUri().toURL());
    return this;
  }

  /** Binary names, as a services file lists them. */
  public static List<String> names(Class<?>... types) {
    return Arrays.stream(types).map(Class::getName).toList();
  }

  /** The class files of {@code types} by binary name; a new, mutable map. */
  public static Map<String, byte[]> classes(Class<?>... types) throws IOException {
    Map<String, byte[]> classes = new LinkedHashMap<>();
    for (Class<?> type : types) {
      try (InputStream file = type.getResourceAsStream("/" + fileOf(type.getName()))) {
        classes.put(type.getName(), file.readAllBytes());
      }
    }
    return classes;
  }

  private static Map<String, byte[]> entries(List<String> services, Map<String, byte[]> classes) {
    return entries(SERVICES, services, classes);
  }

  /** The files of a jar that lists {@code services}, one a line, in the named services file. */
  public static Map<String, byte[]> entries(
      String servicesFile, List<String> services, Map<String, byte[]> classes) {
    Map<String, byte[]> entries = new LinkedHashMap<>();
    entries.put(servicesFile, (String.join("\n", services) + "\n").getBytes(UTF_8));
    classes.forEach((name, bytes) -> entries.put(fileOf(name), bytes));
    return entries;
  }

  private static String fileOf(String className) {
    return className.replace('.', '/') + ".class";
  }

  /** Writes a jar of files by their names, which belongs to no class path yet. */
  public static URL write(Path file, Map<String, byte[]> entries) throws IOException {
    try (JarOutputStream jar = new JarOutputStream(Files.newOutputStream(file))) {
      for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
        jar.putNextEntry(new JarEntry(entry.getKey()));
        jar.write(entry.getValue());
      }
    }
    return file.toUri().toURL();
  }

  /** The tests' own class path without the fixtures, for class loaders that have them. */
  public static ClassLoader withoutFixtures() {
    return new WithoutFixtures();
  }

  /** What is found on this class path; asked again, by the same class loader. */
  public VbnBackends find() {
    if (loader == null) {
      loader = new URLClassLoader(urls.toArray(URL[]::new), new WithoutFixtures());
    }
    return VbnBackends.find(loader);
  }

  @Override
  public void close() throws IOException {
    if (loader != null) {
      loader.close();
    }
  }

  /** Hides the fixtures, and whatever services the tests' own class path offers. */
  private static final class WithoutFixtures extends ClassLoader {
    WithoutFixtures() {
      super(ProviderPath.class.getClassLoader());
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      if (name.startsWith(FIXTURES)) {
        throw new ClassNotFoundException(name);
      }
      return super.loadClass(name, resolve);
    }

    @Override
    public @Nullable URL getResource(String name) {
      return null;
    }

    @Override
    public Enumeration<URL> getResources(String name) {
      return Collections.emptyEnumeration();
    }
  }
}
