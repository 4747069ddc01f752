package dev.vbn.bench;

import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;

/** A backend that is the reference but for one element of an output, which it gets a little wrong. */
public final class WrongProvider implements VbnProvider<HostTensor> {
  static final String NAME = "wrong";

  private final ReferenceProvider right = new ReferenceProvider();

  /** For the service loader. */
  public WrongProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int priority() {
    return Integer.MIN_VALUE;
  }

  @Override
  public TensorType<HostTensor> tensorType() {
    return TensorType.of(HostTensor.class);
  }

  @Override
  public Availability probe() {
    return Availability.available("gets one element wrong");
  }

  @Override
  @SuppressWarnings("unchecked")
  public Kernels<HostTensor> open(BackendOptions options) {
    Kernels<HostTensor> kernels = right.open(options);
    return (Kernels<HostTensor>) Proxy.newProxyInstance(
        Kernels.class.getClassLoader(), new Class<?>[] {Kernels.class}, (proxy, method, words) -> {
          try {
            Object result = method.invoke(kernels, words);
            if (method.getName().equals("forward")) {
              ((HostTensor) result).floats()[0] += 0.001f;
            }
            return result;
          } catch (InvocationTargetException e) {
            throw e.getCause();
          }
        });
  }
}
