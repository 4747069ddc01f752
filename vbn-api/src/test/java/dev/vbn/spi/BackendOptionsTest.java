package dev.vbn.spi;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.ResourceLock;
import org.junit.jupiter.api.parallel.Resources;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Device and number of threads, by the program or the system property. */
@ResourceLock(Resources.SYSTEM_PROPERTIES)
final class BackendOptionsTest {
  private String before;

  @BeforeEach
  void keepProperty() {
    before = System.clearProperty("vbn.parallelism");
  }

  @AfterEach
  void restoreProperty() {
    if (before == null) {
      System.clearProperty("vbn.parallelism");
    } else {
      System.setProperty("vbn.parallelism", before);
    }
  }

  @Test
  void theDefaultsAreNoDeviceAndAllProcessors() {
    assertEquals(
        new BackendOptions(null, Runtime.getRuntime().availableProcessors()),
        BackendOptions.defaults());
  }

  @Test
  void thePropertySetsTheParallelism() {
    System.setProperty("vbn.parallelism", "3");
    assertEquals(new BackendOptions(null, 3), BackendOptions.defaults());
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "-1", "", "two", "1.5", " 1", "2147483648"})
  void aPropertyThatIsNoSuchNumberIsRefused(String value) {
    System.setProperty("vbn.parallelism", value);
    assertRefused(
        IllegalArgumentException.class,
        BackendOptions::defaults,
        "vbn.parallelism is '" + value + "'",
        "expected a number of 1 or more");
  }

  @Test
  void eachWithChangesItsOneSetting() {
    BackendOptions options = new BackendOptions("gpu0", 2);
    assertEquals(new BackendOptions("gpu1", 2), options.withDevice("gpu1"));
    assertEquals(new BackendOptions("gpu0", 5), options.withParallelism(5));
  }

  @Test
  void whatIsOutOfRangeIsRefused() {
    BackendOptions options = new BackendOptions(null, 1);
    assertRefused(
        IllegalArgumentException.class,
        () -> options.withParallelism(0),
        "parallelism is 0",
        "expected 1 or more");
    assertRefused(
        NullPointerException.class, () -> options.withDevice(null), "device is null", "expected");
  }
}
