package dev.vbn.djl;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.nio.ByteBuffer;

/** A program that makes a BFLOAT16 array on PyTorch, in a JVM of its own since it may not survive. */
final class Bfloat16 {
  private Bfloat16() {}

  @SuppressWarnings("SystemOut")
  public static void main(String[] args) {
    Shape shape = new Shape(2, 3);
    try (NDManager manager = Engine.getEngine("PyTorch").newBaseManager();
        NDArray ones = manager.ones(shape)) {
      System.out.println("before " + args[0]);
      NDArray array = switch (args[0]) {
        case "zeros" -> manager.zeros(shape, DataType.BFLOAT16);
        case "toType" -> ones.toType(DataType.BFLOAT16, true);
        default -> manager.create(ByteBuffer.allocateDirect(12), shape, DataType.BFLOAT16);
      };
      System.out.println("after, type " + array.getDataType());
    }
  }
}
