package dev.vbn.spark;

import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * The reference backend under another name, which says how it is opened, and when it is closed. No
 * service file of the class path names it: {@link ExecutorBackendTest} has a loader with one.
 */
public final class WitnessProvider implements VbnProvider<HostTensor> {
  static final List<Integer> OPENED = new CopyOnWriteArrayList<>();

  @Override
  public String name() {
    return "witness";
  }

  @Override
  public int priority() {
    return -1;
  }

  @Override
  public TensorType<HostTensor> tensorType() {
    return TensorType.of(HostTensor.class);
  }

  @Override
  public Availability probe() {
    return Availability.available("a witness");
  }

  @Override
  @SuppressWarnings("unchecked")
  public Kernels<HostTensor> open(BackendOptions options) {
    OPENED.add(options.parallelism());
    Kernels<HostTensor> kernels = new ReferenceProvider().open(options);
    return (Kernels<HostTensor>) Proxy.newProxyInstance(
        WitnessProvider.class.getClassLoader(),
        new Class<?>[] {Kernels.class},
        (self, method, arguments) -> {
          if (method.getName().equals("close")) {
            System.out.println("witness closed");
          }
          try {
            return method.invoke(kernels, arguments);
          } catch (InvocationTargetException e) {
            throw e.getCause();
          }
        });
  }
}
