package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import dev.vbn.VbnBackend;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What the provider says of engines and devices, and of a class path without them. */
class DjlProviderTest {
  @Test
  void devicesHaveDjlsNamesAndTheDefaultIsFirst() {
    EngineHere here = EngineHere.open();
    try {
      List<String> devices = new DjlProvider().probe().devices();
      assertEquals(here.engine.defaultDevice(), Device.fromName(devices.get(0), here.engine));
      assertTrue(devices.contains("cpu"), devices::toString);
      for (String device : devices) {
        try (VbnBackend<NDArray> backend =
                VbnBackend.open(new DjlProvider(), BackendOptions.defaults().withDevice(device));
            NDArray array = backend.fromHost(HostTensor.zeros(DType.FLOAT32, 1))) {
          assertEquals(Device.fromName(device, here.engine), array.getDevice());
          assertTrue(backend.description().contains(" on " + device + ", DJL "), backend::toString);
        }
      }
      BackendOptions unknown = BackendOptions.defaults().withDevice("gpu99");
      String message = assertThrows(
              IllegalArgumentException.class, () -> VbnBackend.open(new DjlProvider(), unknown))
          .getMessage();
      assertTrue(message.contains("gpu99") && message.contains("cpu"), message);
    } finally {
      here.close();
    }
  }

  @Test
  void withoutAnEngineItIsUnavailableAndSaysWhatToAdd() throws Exception {
    List<URL> jars = new ArrayList<>();
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, -1)) {
      String name = new File(entry).getName();
      if (!name.startsWith("pytorch-") && !name.startsWith("mxnet-")) {
        jars.add(new File(entry).toURI().toURL());
      }
    }
    String named = System.clearProperty(DjlProvider.ENGINE_PROPERTY);
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    try (URLClassLoader bare =
        new URLClassLoader(jars.toArray(new URL[0]), ClassLoader.getPlatformClassLoader())) {
      // DJL looks for engines through it.
      Thread.currentThread().setContextClassLoader(bare);
      Object provider =
          bare.loadClass(DjlProvider.class.getName()).getConstructor().newInstance();
      assertFalse(provider instanceof DjlProvider, "the provider is of the bare class path");
      Object availability = provider.getClass().getMethod("probe").invoke(provider);
      Class<?> type = availability.getClass();
      assertEquals(false, type.getMethod("available").invoke(availability));
      String reason = (String) type.getMethod("description").invoke(availability);
      assertTrue(reason.contains("ai.djl.pytorch:pytorch-engine"), reason);
      assertTrue(reason.contains("ai.djl.pytorch:pytorch-native-cpu"), reason);
    } finally {
      Thread.currentThread().setContextClassLoader(before);
      if (named != null) {
        System.setProperty(DjlProvider.ENGINE_PROPERTY, named);
      }
    }
  }

  @Test
  void anEngineThatIsNotThereIsUnavailable() {
    String named = System.getProperty(DjlProvider.ENGINE_PROPERTY);
    System.setProperty(DjlProvider.ENGINE_PROPERTY, "NoSuchEngine");
    try {
      Availability availability = new DjlProvider().probe();
      assertFalse(availability.available());
      assertTrue(
          String.valueOf(availability.cause()).contains("NoSuchEngine"),
          () -> String.valueOf(availability.cause()));
    } finally {
      if (named == null) {
        System.clearProperty(DjlProvider.ENGINE_PROPERTY);
      } else {
        System.setProperty(DjlProvider.ENGINE_PROPERTY, named);
      }
    }
  }
}
