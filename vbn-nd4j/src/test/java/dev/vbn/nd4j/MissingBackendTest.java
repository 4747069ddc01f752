package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A class path with ND4J's API and no backend of it. */
class MissingBackendTest {
  @Test
  void withoutABackendItIsUnavailableAndSaysWhatToAdd() throws Exception {
    List<URL> jars = new ArrayList<>();
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, -1)) {
      if (!new File(entry).getName().startsWith("nd4j-native")) {
        jars.add(new File(entry).toURI().toURL());
      }
    }
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    try (URLClassLoader bare =
        new URLClassLoader(jars.toArray(new URL[0]), ClassLoader.getPlatformClassLoader())) {
      // ND4J looks for backends through it.
      Thread.currentThread().setContextClassLoader(bare);
      Object provider =
          bare.loadClass(Nd4jProvider.class.getName()).getConstructor().newInstance();
      assertFalse(provider instanceof Nd4jProvider, "the provider is of the bare class path");
      for (int i = 0; i < 2; i++) { // the second time the class is one that failed to load
        Object availability = provider.getClass().getMethod("probe").invoke(provider);
        Class<?> type = availability.getClass();
        assertEquals(false, type.getMethod("available").invoke(availability));
        String reason = (String) type.getMethod("description").invoke(availability);
        assertTrue(reason.contains("org.nd4j:nd4j-native"), reason);
      }
    } finally {
      Thread.currentThread().setContextClassLoader(before);
    }
  }
}
