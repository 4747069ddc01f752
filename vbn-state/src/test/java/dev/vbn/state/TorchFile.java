package dev.vbn.state;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Writes pickles opcode by opcode, and the zip around them, as PyTorch never would. */
final class TorchFile {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  /** Of protocol 2. */
  static TorchFile pickle() {
    return new TorchFile().op(0x80, 2);
  }

  TorchFile op(int... bytes) {
    for (int value : bytes) {
      out.write(value);
    }
    return this;
  }

  TorchFile op(String opcodes) {
    out.writeBytes(opcodes.getBytes(US_ASCII));
    return this;
  }

  TorchFile times(int count, String opcodes) {
    return op(opcodes.repeat(count));
  }

  TorchFile text(String text) {
    byte[] bytes = text.getBytes(UTF_8);
    return op('X').little(bytes.length, 4).raw(bytes);
  }

  TorchFile global(String module, String name) {
    return op("c" + module + "\n" + name + "\n");
  }

  /** A whole number of up to 64 bits. */
  TorchFile number(long value) {
    return op(0x8a, 8).little(value, 8);
  }

  TorchFile little(long value, int bytes) {
    for (int i = 0; i < bytes; i++) {
      out.write((int) (value >> (8 * i)));
    }
    return this;
  }

  TorchFile raw(byte[] bytes) {
    out.writeBytes(bytes);
    return this;
  }

  TorchFile numbers(long... values) {
    op('(');
    for (long value : values) {
      number(value);
    }
    return op('t');
  }

  /** {@code ("storage", class, key, "cpu", elements)}, as a persistent name. */
  TorchFile storage(String type, String key, long elements) {
    return op('(')
        .text("storage")
        .global("torch", type)
        .text(key)
        .text("cpu")
        .number(elements)
        .op("tQ");
  }

  /** A tensor on a storage of floats. */
  TorchFile tensor(String key, long elements, long offset, long[] size, long[] stride) {
    return global("torch._utils", "_rebuild_tensor_v2")
        .op('(')
        .storage("FloatStorage", key, elements)
        .number(offset)
        .numbers(size)
        .numbers(stride)
        .op(0x89)
        .op("}tR");
  }

  byte[] bytes() {
    return out.toByteArray();
  }

  /** A pickle of {@code {"gamma": tensor}}. */
  static byte[] gamma(long elements, long offset, long[] size, long[] stride) {
    return pickle()
        .op('}')
        .text("gamma")
        .tensor("0", elements, offset, size, stride)
        .op("s.")
        .bytes();
  }

  /** A zip with a pickle and storage 0. */
  static byte[] zip(byte[] pickle, byte[] storage) throws IOException {
    return zip("archive/data.pkl", pickle, "archive/data/0", storage);
  }

  /** A zip of names and contents, stored. */
  static byte[] zip(Object... entries) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      for (int i = 0; i < entries.length; i += 2) {
        byte[] content = (byte[]) entries[i + 1];
        ZipEntry entry = new ZipEntry((String) entries[i]);
        entry.setMethod(ZipEntry.STORED);
        entry.setSize(content.length);
        CRC32 crc = new CRC32();
        crc.update(content);
        entry.setCrc(crc.getValue());
        zip.putNextEntry(entry);
        zip.write(content);
      }
    }
    return bytes.toByteArray();
  }

  /** What stands before the dictionary in files of PyTorch before 1.6. */
  static TorchFile plain() {
    return pickle()
        .op(0x8a, 10)
        .raw(new byte[] {
          0x6c, (byte) 0xfc, (byte) 0x9c, 0x46, (byte) 0xf9, 0x20, 0x6a, (byte) 0xa8, 0x50, 0x19
        })
        .op('.')
        .op(0x80, 2)
        .op('M')
        .little(1001, 2)
        .op('.')
        .op(0x80, 2)
        .op("}.");
  }

  static byte[] floats(ByteOrder order, float... values) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(order);
    bytes.asFloatBuffer().put(values);
    return bytes.array();
  }
}
