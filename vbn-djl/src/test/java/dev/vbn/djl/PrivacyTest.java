package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** DJL reports its use when it starts: to the cloud's metadata address first. */
class PrivacyTest {
  private static final String METADATA_ADDRESS = "http://169.254.169.254/";

  @BeforeEach
  void requireEngine() {
    EngineHere.open().close();
  }

  private static String connections(String... options) throws Exception {
    Child child =
        Child.run(Connections.class, System.getProperty("java.class.path"), List.of(options));
    assertTrue(child.output().contains("opened PyTorch"), child::output);
    return child.output();
  }

  @Test
  void openingConnectsToNothing() throws Exception {
    String output = connections("-Dvbn.djl.engine=PyTorch");
    assertTrue(output.contains("connections []"), output);
  }

  /** Which shows too that the program would have recorded it. */
  @Test
  void whoHasOptedInIsReported() throws Exception {
    String output = connections("-Dvbn.djl.engine=PyTorch", "-DOPT_OUT_TRACKING=false");
    assertTrue(output.contains("connections [" + METADATA_ADDRESS), output);
  }
}
