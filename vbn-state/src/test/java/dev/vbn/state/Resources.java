package dev.vbn.state;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.function.Executable;

/** Files that NumPy wrote, and files that it never would. */
final class Resources {
  private Resources() {}

  /** A file made by {@code make_files.py}. */
  static byte[] bytes(String name) throws IOException {
    try (InputStream in = Resources.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException("no resource " + name);
      }
      return in.readAllBytes();
    }
  }

  /** A version 1.0 file of that header and that many zero bytes of data. */
  static byte[] npy(String header, int dataBytes) {
    byte[] text = header.getBytes(StandardCharsets.ISO_8859_1);
    return ByteBuffer.allocate(10 + text.length + dataBytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0})
        .putShort((short) text.length)
        .put(text)
        .array();
  }

  /** 0.5, 1.5, 2.5, ... */
  static float[] count(int length) {
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = i + 0.5f;
    }
    return values;
  }

  static void assertFloats(float[] expected, HostTensor tensor, long... shape) {
    assertArrayEquals(shape, tensor.shape());
    float[] actual = tensor.floats();
    int[] expectedBits = new int[expected.length];
    int[] actualBits = new int[actual.length];
    for (int i = 0; i < expected.length; i++) {
      expectedBits[i] = Float.floatToRawIntBits(expected[i]);
    }
    for (int i = 0; i < actual.length; i++) {
      actualBits[i] = Float.floatToRawIntBits(actual[i]);
    }
    assertArrayEquals(expectedBits, actualBits);
  }

  /** Runs, and fails if the heap had to give more than 64 MiB. */
  static void assertAllocatesLittle(Executable reading) throws Throwable {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    reading.execute();
    long allocated = threads.getCurrentThreadAllocatedBytes() - before;
    assertTrue(allocated < 64 << 20, () -> allocated + " bytes");
  }

  static void assertRefused(String message, Executable reading) {
    NpyException e = assertThrows(NpyException.class, reading);
    assertEquals(message, e.getMessage());
    assertFalse(e.getMessage().contains("\n"));
  }
}
