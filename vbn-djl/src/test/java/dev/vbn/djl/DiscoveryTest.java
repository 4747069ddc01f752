package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** DJL looks for its engines once, through the context class loader of whoever comes first. */
class DiscoveryTest {
  @BeforeEach
  void requireEngine() {
    EngineHere.open().close();
  }

  private static List<String> run(String way) throws Exception {
    String own = Path.of(
            Elsewhere.class.getProtectionDomain().getCodeSource().getLocation().toURI())
        .toString();
    Child child = Child.run(
        Elsewhere.class,
        own,
        List.of(
            "-D" + Elsewhere.JARS + "=" + System.getProperty("java.class.path"),
            "-Dvbn.djl.engine=PyTorch",
            "-DOPT_OUT_TRACKING=true"),
        way);
    return child
        .output()
        .lines()
        .filter(line -> line.contains("opened") || line.contains("touched"))
        .toList();
  }

  private static void assertOpened(List<String> lines) {
    assertTrue(lines.get(lines.size() - 1).startsWith("opened VbnBackend 'djl'"), lines::toString);
  }

  @ParameterizedTest
  @ValueSource(strings = {"loader", "common-pool"})
  void anEngineBehindAClassLoaderIsFound(String way) throws Exception {
    assertOpened(run(way));
  }

  @Test
  void anEngineIsFoundAfterAFirstTouchThatFoundNone() throws Exception {
    List<String> lines = run("first-touch");
    assertTrue(lines.contains("touched without success"), lines::toString);
    assertOpened(lines);
  }

  @Test
  void anEngineThatComesLaterIsFound() throws Exception {
    List<String> lines = run("engine-later");
    assertTrue(lines.get(0).startsWith("not opened"), lines::toString);
    assertOpened(lines);
  }

  @Test
  void anEngineOfAnApplicationIsFoundForTheServersDjl() throws Exception {
    List<String> lines = run("shared-library");
    assertTrue(lines.get(0).startsWith("not opened"), lines::toString);
    assertOpened(lines);
  }

  @Test
  void aDefaultThatIsNotThereSpoilsNothing() throws Exception {
    List<String> lines = run("no-such-default");
    assertTrue(lines.get(0).startsWith("not opened"), lines::toString);
    assertFalse(lines.get(0).contains("NoClassDefFoundError"), lines::toString);
    assertOpened(lines);
  }
}
