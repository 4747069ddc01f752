package dev.vbn.state;

import dev.vbn.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * Memory that tensors of PyTorch are views of.
 *
 * @param key its name in the file
 * @param elements of its type
 */
record TorchStorage(Type type, String key, long elements) {

  /** What the elements of a storage are. */
  enum Type {
    FLOAT("FloatStorage", 4, DType.FLOAT32),
    DOUBLE("DoubleStorage", 8, DType.FLOAT64),
    HALF("HalfStorage", 2, DType.FLOAT16),
    BFLOAT16("BFloat16Storage", 2, DType.BFLOAT16),
    LONG("LongStorage", 8, null),
    INT("IntStorage", 4, null),
    SHORT("ShortStorage", 2, null),
    CHAR("CharStorage", 1, null),
    BYTE("ByteStorage", 1, null),
    BOOL("BoolStorage", 1, null),
    COMPLEX_FLOAT("ComplexFloatStorage", 8, null),
    COMPLEX_DOUBLE("ComplexDoubleStorage", 16, null);

    private final String className;
    private final int bytes;
    private final @Nullable DType dtype;

    Type(String className, int bytes, @Nullable DType dtype) {
      this.className = className;
      this.bytes = bytes;
      this.dtype = dtype;
    }

    /** The type of a class, by module and name; null for what is not a storage class. */
    static @Nullable Type ofClass(String name) {
      for (Type type : values()) {
        if (name.equals("torch " + type.className)) {
          return type;
        }
      }
      return null;
    }

    /** Bytes of an element. */
    int bytes() {
      return bytes;
    }

    /** The type that elements are read as; null for what is not read. */
    @Nullable
    DType dtype() {
      return dtype;
    }

    @Override
    public String toString() {
      return className;
    }
  }
}
