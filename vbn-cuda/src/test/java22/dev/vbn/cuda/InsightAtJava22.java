package dev.vbn.cuda;

import dev.vbn.VbnBackend;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Field;
import java.util.concurrent.locks.ReentrantLock;

/** Looks into the backend; reached by name from tests at Java 17. */
final class InsightAtJava22 implements Insight {
  InsightAtJava22() {}

  @Override
  public void forEachPiece(int size, int capacity, Piece piece) {
    Staging.forEachPiece(size, capacity, piece::of);
  }

  @Override
  public boolean isBusy(VbnBackend<CudaTensor> backend) {
    return ((ReentrantLock) get(stream(backend), "lock")).isLocked();
  }

  @Override
  public Failing failing(VbnBackend<CudaTensor> backend, String field, Error error) {
    CudaDriver driver = stream(backend).driver();
    MethodHandle sound = (MethodHandle) get(driver, field);
    MethodHandle failing = MethodHandles.dropArguments(
        MethodHandles.throwException(int.class, Error.class).bindTo(error),
        0,
        sound.type().parameterList());
    set(driver, field, failing);
    return () -> set(driver, field, sound);
  }

  private static DeviceStream stream(VbnBackend<CudaTensor> backend) {
    return (DeviceStream) get(backend.unwrap(StreamBackend.class), "stream");
  }

  private static Object get(Object object, String field) {
    try {
      return field(object, field).get(object);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(field, e);
    }
  }

  private static void set(Object object, String field, Object value) {
    try {
      field(object, field).set(object, value);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(field, e);
    }
  }

  private static Field field(Object object, String name) throws NoSuchFieldException {
    Field field = object.getClass().getDeclaredField(name);
    field.setAccessible(true);
    return field;
  }
}
