package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.vbn.tensor.HostTensor;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** The seed that a run states draws the same cases again. */
class SamplesTest {
  @Test
  void theSeedOfARunReplaysIt() throws Exception {
    double[] drawn = drawn("7");
    assertArrayEquals(drawn, drawn("7"));
    assertFalse(Arrays.equals(drawn, drawn("8")), "another seed draws the same");
  }

  /** By classes loaded anew, for they read the property once. */
  private static double[] drawn(String seed) throws Exception {
    URL[] path = {location(Samples.class), location(HostTensor.class)};
    String before = System.getProperty(Samples.SEED_PROPERTY);
    System.setProperty(Samples.SEED_PROPERTY, seed);
    try (URLClassLoader loader = new URLClassLoader(path, ClassLoader.getPlatformClassLoader())) {
      Class<?> samples = loader.loadClass(Samples.class.getName());
      Constructor<?> constructor = samples.getDeclaredConstructor(long.class);
      Method normal = samples.getDeclaredMethod("normal", double.class, double.class, long[].class);
      constructor.setAccessible(true);
      normal.setAccessible(true);
      Object tensor = normal.invoke(constructor.newInstance(5L), 0.0, 1.0, new long[] {8});
      return (double[]) tensor.getClass().getMethod("toDoubles").invoke(tensor);
    } finally {
      if (before == null) {
        System.clearProperty(Samples.SEED_PROPERTY);
      } else {
        System.setProperty(Samples.SEED_PROPERTY, before);
      }
    }
  }

  private static URL location(Class<?> type) {
    return type.getProtectionDomain().getCodeSource().getLocation();
  }
}
