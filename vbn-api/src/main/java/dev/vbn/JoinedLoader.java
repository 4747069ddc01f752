package dev.vbn;

import java.io.IOException;
import java.net.URL;
import java.util.Collections;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a provider's class loader sees and, after that, what another does: a library that a server
 * shares may have its engine in a web application only, whose class loader is that of its threads.
 */
final class JoinedLoader extends ClassLoader {
  static {
    registerAsParallelCapable();
  }

  private static final String SERVICES = "META-INF/services/";

  private final ClassLoader other;

  private JoinedLoader(@Nullable ClassLoader own, ClassLoader other) {
    super(own);
    this.other = other;
  }

  /** Both; {@code own} itself if the other is null, {@code own} or a parent of it. */
  static @Nullable ClassLoader of(@Nullable ClassLoader own, @Nullable ClassLoader other) {
    for (ClassLoader seen = own; seen != null; seen = seen.getParent()) {
      if (seen.equals(other)) {
        return own;
      }
    }
    return other == null ? own : new JoinedLoader(own, other);
  }

  @Override
  protected Class<?> findClass(String name) throws ClassNotFoundException {
    return other.loadClass(name);
  }

  @Override
  protected @Nullable URL findResource(String name) {
    return isOfAnotherCopy(name) ? null : other.getResource(name);
  }

  @Override
  protected Enumeration<URL> findResources(String name) throws IOException {
    return isOfAnotherCopy(name) ? Collections.emptyEnumeration() : other.getResources(name);
  }

  /** Each once, though the other loader may delegate to the provider's own. */
  @Override
  public Enumeration<URL> getResources(String name) throws IOException {
    Map<String, URL> found = new LinkedHashMap<>(); // a URL itself compares by asking name servers
    for (URL url : Collections.list(super.getResources(name))) {
      found.putIfAbsent(url.toExternalForm(), url);
    }
    return Collections.enumeration(found.values());
  }

  /**
   * Whether a file lists services for a copy of their library that only the other loader has. They
   * fit no library of the provider's, and a single one would break an iteration over all.
   */
  private boolean isOfAnotherCopy(String name) {
    if (!name.startsWith(SERVICES)) {
      return false;
    }
    String service = name.substring(SERVICES.length());
    try {
      return Class.forName(service, false, getParent()) != Class.forName(service, false, other);
    } catch (ClassNotFoundException | LinkageError e) {
      return false; // unknown to one of them: no two copies
    }
  }
}
