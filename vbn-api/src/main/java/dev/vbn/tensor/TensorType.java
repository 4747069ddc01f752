package dev.vbn.tensor;

import static java.util.Objects.requireNonNull;

import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import org.jspecify.annotations.Nullable;

/**
 * The type of a library's tensors, at run time. {@link #of} is for a plain class; a type with
 * arguments of its own is written as an anonymous subclass: {@code new
 * TensorType<Operand<TFloat32>>() {}}.
 *
 * @param <T> the tensor type
 */
public class TensorType<T> {
  private final Type type;

  /** For anonymous subclasses, whose argument becomes the type. */
  protected TensorType() {
    if (!(getClass().getGenericSuperclass() instanceof ParameterizedType parent)
        || parent.getRawType() != TensorType.class) {
      throw new IllegalStateException(
          getClass().getName() + " does not say of what type; expected new TensorType<X>() {}");
    }
    Type argument = parent.getActualTypeArguments()[0];
    if (!(argument instanceof Class || argument instanceof ParameterizedType)) {
      throw new IllegalStateException("tensor type is " + argument.getTypeName()
          + "; expected a class, with or without arguments");
    }
    type = argument;
  }

  private TensorType(Class<T> type) {
    this.type = requireNonNull(type, "type is null; expected the class of the tensors");
  }

  /** The type that is the class {@code type}. */
  public static <T> TensorType<T> of(Class<T> type) {
    return new TensorType<>(type);
  }

  /** The type with its arguments. */
  public final Type type() {
    return type;
  }

  /** The class without its arguments. */
  public final Class<?> rawClass() {
    return (Class<?>) (type instanceof ParameterizedType with ? with.getRawType() : type);
  }

  /** Whether {@code other} stands for the same type. */
  @Override
  public final boolean equals(@Nullable Object other) {
    return other instanceof TensorType<?> that && type.equals(that.type);
  }

  @Override
  public final int hashCode() {
    return type.hashCode();
  }

  /** The type's name, with package and arguments. */
  @Override
  public final String toString() {
    return type.getTypeName();
  }
}
