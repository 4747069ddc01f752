package dev.vbn.cli;

import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import org.jspecify.annotations.Nullable;

/**
 * Marks what a backend throws. The layer's refusals and a backend's failures may be of one type;
 * the former are bad input, the latter are not.
 */
final class GuardedBackend implements InvocationHandler {
  private final VbnBackend<?> backend;

  private GuardedBackend(VbnBackend<?> backend) {
    this.backend = backend;
  }

  /** The backend, throwing {@link BackendFailedException} but for what it declares to lack. */
  static <T> VbnBackend<T> of(VbnBackend<T> backend) {
    @SuppressWarnings("unchecked") // it answers for every method by asking a VbnBackend<T>
    VbnBackend<T> guarded = (VbnBackend<T>) Proxy.newProxyInstance(
        VbnBackend.class.getClassLoader(),
        new Class<?>[] {VbnBackend.class},
        new GuardedBackend(backend));
    return guarded;
  }

  @Override
  public @Nullable Object invoke(
      Object proxy, Method method, @Nullable Object @Nullable [] arguments)
      throws IllegalAccessException {
    try {
      return method.invoke(backend, arguments);
    } catch (InvocationTargetException e) {
      Throwable failure = e.getCause() == null ? e : e.getCause();
      if (failure instanceof UnsupportedCapabilityException refusal) {
        throw refusal;
      }
      throw new BackendFailedException(
          backend.getClass().getSimpleName() + " failed in " + method.getName() + ": "
              + ErrorLine.describe(failure),
          failure);
    }
  }
}
