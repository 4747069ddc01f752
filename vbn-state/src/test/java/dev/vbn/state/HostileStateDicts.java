package dev.vbn.state;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** State dicts that are wrong in every way that one can be. */
final class HostileStateDicts {
  private static final byte[] TWO = TorchFile.floats(ByteOrder.LITTLE_ENDIAN, 1, 2);
  private static final byte[] GOOD = TorchFile.gamma(2, 0, new long[] {2}, new long[] {1});

  private final Path folder;

  private HostileStateDicts(Path folder) {
    this.folder = folder;
  }

  /** Writes them all; each is to be refused. */
  static void write(Path folder) throws IOException {
    HostileStateDicts files = new HostileStateDicts(folder);
    files.writeTensors();
    files.writeGrowing();
    files.writePickles();
    files.writeZips();
    files.writePlain();
  }

  private void zip(String name, byte[] pickle) throws IOException {
    Files.write(folder.resolve(name + ".pt"), TorchFile.zip(pickle, TWO));
  }

  private void tensor(String name, long elements, long offset, long[] size, long[] stride)
      throws IOException {
    zip("tensor-" + name, TorchFile.gamma(elements, offset, size, stride));
  }

  private void writeTensors() throws IOException {
    long[] one = {1};
    long[] two = {2};
    long huge = 1L << 62;
    tensor("offset-beyond", 2, 1, two, one);
    tensor("offset-negative", 2, -1, two, one);
    tensor("offset-huge", 2, Long.MAX_VALUE, two, one);
    tensor("stride-beyond", 2, 0, two, two);
    tensor("stride-negative", 2, 1, two, new long[] {-1});
    tensor("stride-huge", 2, 0, two, new long[] {Long.MAX_VALUE});
    tensor("size-negative", 2, 0, new long[] {-2}, one);
    tensor("size-overflowing", 2, 0, new long[] {huge, 4, 4}, new long[] {0, 0, 0});
    tensor("size-wrapping-to-2", 2, 0, new long[] {1L << 32, 1L << 32, 2}, new long[] {0, 0, 0});
    tensor("ranks-differ", 2, 0, two, new long[] {1, 1});
    tensor("rank-of-65", 2, 0, new long[65], new long[65]);
    tensor("storage-too-long", 3, 0, two, one);
    tensor("storage-too-short", 1, 0, one, one);
    tensor("storage-huge", huge, 0, two, one);
    tensor("storage-negative", -2, 0, two, one);
    tensor("expanded-to-a-gigabyte", 2, 0, new long[] {1 << 28}, new long[] {0});
    tensor("expanded-to-8-gigabytes", 2, 0, new long[] {1L << 31}, new long[] {0});
    TorchFile sum = TorchFile.pickle().op('}');
    for (String name : new String[] {"gamma", "beta", "ref_mean", "ref_var", "epsilon"}) {
      sum.text(name).tensor("0", 2, 0, new long[] {1 << 20}, new long[] {0}).op('s');
    }
    zip("tensors-expanded-together", sum.op('.').bytes());
    zip(
        "two-types-of-one-storage",
        TorchFile.pickle()
            .op('}')
            .text("gamma")
            .tensor("0", 2, 0, two, one)
            .op('s')
            .text("beta")
            .tensor("0", 1, 0, one, one)
            .op("s.")
            .bytes());
    zip(
        "negated",
        TorchFile.pickle()
            .op('}')
            .text("gamma")
            .global("torch._utils", "_rebuild_tensor_v2")
            .op('(')
            .storage("FloatStorage", "0", 2)
            .number(0)
            .numbers(2)
            .numbers(1)
            .op(0x89)
            .op("}}")
            .text("neg")
            .op(0x88)
            .op("stRs.")
            .bytes());
    zip("no-such-storage", replaced("../../etc/passwd"));
  }

  private static byte[] replaced(String key) {
    return TorchFile.pickle()
        .op('}')
        .text("gamma")
        .tensor(key, 2, 0, new long[] {2}, new long[] {1})
        .op("s.")
        .bytes();
  }

  /** Short programs that make much. */
  private void writeGrowing() throws IOException {
    int most = (1 << 22) - 100;
    for (String opcode : new String[] {"}", "]", ")", "(", "N", "}K1Ns", "]Na0", "(K1t", "N2"}) {
      zip(
          "many-" + opcode.replaceAll("[^A-Za-z0-9]", "-") + opcode.hashCode(),
          TorchFile.pickle()
              .op("Nq")
              .op(0)
              .times(most / opcode.length(), opcode)
              .bytes());
    }
    TorchFile memo = TorchFile.pickle().op('N');
    for (int i = 0; i < most / 5 - 1; i++) {
      memo.op('r').little(i, 4);
    }
    zip("many-in-the-memo", memo.bytes());
    TorchFile frames = TorchFile.pickle();
    for (int i = 0; i < most / 9 + 100; i++) {
      frames.op(0x95).little(0, 8);
    }
    zip("more-than-4-mb", frames.bytes());
    for (long length : new long[] {0xffffffffL, 1 << 30, 1 << 22}) {
      zip(
          "text-of-" + length,
          TorchFile.pickle().op('X').little(length, 4).op("a.").bytes());
    }
    for (int bit = 22; bit < 64; bit++) {
      zip(
          "text-of-bit-" + bit,
          TorchFile.pickle().op(0x8d).little(1L << bit, 8).op("a.").bytes());
    }
    // Each dictionary holds the one before it twice.
    TorchFile doubled = TorchFile.pickle().op('}');
    for (int i = 0; i < 50; i++) {
      doubled.op("q").op(0).op("0}");
      for (String key : new String[] {"a", "b"}) {
        doubled.text(key).op('h', 0).op('s');
      }
    }
    zip("doubled-50-times", doubled.op('.').bytes());
    TorchFile deep = TorchFile.pickle();
    deep.op('N');
    for (int i = 0; i < 60_000; i++) {
      deep.op(0x85);
    }
    zip("deep-tuples", deep.op('.').bytes());
    zip(
        "in-itself",
        TorchFile.pickle().op("}q").op(0).text("a").op('h', 0).op("s.").bytes());
    zip("list-in-itself", TorchFile.pickle().op("]q").op(0).op('h', 0).op("a.").bytes());
    // One long text, and one long number, in many places.
    String text = "a".repeat(1 << 20);
    TorchFile places = TorchFile.pickle().text(text).op('q').op(0).op("0](");
    for (int i = 0; i < 100_000; i++) {
      places.op('h', 0);
    }
    zip("one-text-in-many-places", places.op("e.").bytes());
    TorchFile numbers =
        TorchFile.pickle().op(0x8a, 255).raw(new byte[254]).op(1, 'q', 0).op("0](");
    for (int i = 0; i < 100_000; i++) {
      numbers.op('h', 0);
    }
    zip("one-number-in-many-places", numbers.op("e.").bytes());
    TorchFile nested = TorchFile.pickle().text(text).op('q').op(0).op('0').op('N');
    for (int i = 0; i < 60; i++) {
      nested.op('q').op(1).op("0}").op('h', 0).op('h', 1).op('s');
    }
    zip("one-name-over-and-over", nested.op('.').bytes());
  }

  private void writePickles() throws IOException {
    int number = 0;
    for (TorchFile pickle : new TorchFile[] {
      new TorchFile(),
      new TorchFile().op("}."),
      new TorchFile().op(0x80, 1).op("}."),
      new TorchFile().op(0x80, 6).op("}."),
      TorchFile.pickle().op('.'),
      TorchFile.pickle().op("}}."),
      TorchFile.pickle().op("(}."),
      TorchFile.pickle().op("t."),
      TorchFile.pickle().op("}Ns."),
      TorchFile.pickle().op("}(Nu."),
      TorchFile.pickle().op("}NNs."),
      TorchFile.pickle().op("}})Ns."),
      TorchFile.pickle().op("]NNs."),
      TorchFile.pickle().op("}Na."),
      TorchFile.pickle().op("h").op(0).op('.'),
      TorchFile.pickle().op("NNb."),
      TorchFile.pickle().op("NQ."),
      TorchFile.pickle().op("NNR."),
      TorchFile.pickle().op("N."),
      TorchFile.pickle().text("only a text").op('.'),
      TorchFile.pickle().op('X').little(2, 4).op(0xff, 0xfe).op('.'),
      TorchFile.pickle().global("collections", "OrderedDict").op('.'),
      TorchFile.pickle().global("collections", "OrderedDict").op("(NtR."),
      TorchFile.pickle().global("torch._utils", "_rebuild_tensor_v2").op(")R."),
      TorchFile.pickle().global("torch._utils", "_rebuild_parameter").op(")R."),
      TorchFile.pickle().global("torch._utils", "_rebuild_parameter").op("(NNNtR."),
      TorchFile.pickle().op("N\n").op("NN").op(0x93).op('.')
    }) {
      zip("pickle-" + number++, pickle.bytes());
    }
  }

  private void writeZips() throws IOException {
    Files.write(folder.resolve("no-pickle.pt"), TorchFile.zip("a/data/0", TWO));
    Files.write(
        folder.resolve("two-pickles.pt"),
        TorchFile.zip("a/data.pkl", GOOD, "b/data.pkl", GOOD, "a/data/0", TWO));
    Files.write(
        folder.resolve("middle-endian.pt"),
        TorchFile.zip(
            "a/data.pkl", GOOD, "a/byteorder", "middle".getBytes(UTF_8), "a/data/0", TWO));
    byte[] twice = TorchFile.zip("a/data.pkl", GOOD, "a/data/0", TWO, "a/data/1", TWO);
    for (int i = 0; i < twice.length; i++) {
      if (twice[i] == '1' && twice[i - 1] == '/') {
        twice[i] = '0';
      }
    }
    Files.write(folder.resolve("two-storages-of-one-name.pt"), twice);
    byte[] damaged = TorchFile.zip(GOOD, TWO);
    int storage = 0;
    while (Arrays.mismatch(damaged, storage, storage + 8, TWO, 0, 8) >= 0) {
      storage++;
    }
    damaged[storage]++;
    Files.write(folder.resolve("other-crc.pt"), damaged);
    writeCompressed("compressed", GOOD, 8);
    writeCompressed(
        "unpacks-to-a-gigabyte",
        TorchFile.gamma(1 << 28, 0, new long[] {1 << 28}, new long[] {1}),
        1 << 30);
    writeCompressed("unpacks-to-more-than-it-says", GOOD, 100 << 20);
    // Whose storage is said to be as long as the file is.
    byte[] lying = TorchFile.zip(GOOD, TWO);
    for (int i = 0; i + 4 < lying.length; i++) {
      if (lying[i] == 8 && lying[i + 1] == 0 && lying[i + 4] == 8) {
        lying[i + 2] = 1;
        lying[i + 6] = 1;
      }
    }
    Files.write(folder.resolve("lying-directory.pt"), lying);
    Path large = Files.write(folder.resolve("directory-of-60-mb.pt"), TWO);
    try (RandomAccessFile file = new RandomAccessFile(large.toFile(), "rw")) {
      int directory = 60 << 20;
      byte[] end = new TorchFile()
          .op('P', 'K', 5, 6)
          .little(0, 4)
          .little(1, 2)
          .little(1, 2)
          .little(directory, 4)
          .little(0, 4)
          .little(0, 2)
          .bytes();
      file.write(new byte[] {'P', 'K', 3, 4});
      file.seek(directory);
      file.write(end);
    }
  }

  private void writeCompressed(String name, byte[] pickle, int zeros) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    byte[] chunk = new byte[1 << 20];
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      ZipEntry stored = new ZipEntry("archive/data.pkl");
      stored.setMethod(ZipEntry.STORED);
      stored.setSize(pickle.length);
      CRC32 crc = new CRC32();
      crc.update(pickle);
      stored.setCrc(crc.getValue());
      zip.putNextEntry(stored);
      zip.write(pickle);
      zip.setLevel(1);
      zip.putNextEntry(new ZipEntry("archive/data/0"));
      for (int i = 0; i < zeros; i += chunk.length) {
        zip.write(chunk, 0, Math.min(chunk.length, zeros - i));
      }
    }
    Files.write(folder.resolve(name + ".pt"), bytes.toByteArray());
  }

  private void plain(String name, TorchFile file) throws IOException {
    Files.write(folder.resolve("plain-" + name + ".pt"), file.bytes());
  }

  private static TorchFile keys(String... keys) {
    TorchFile file = TorchFile.plain().raw(GOOD).op(0x80, 2).op(']');
    for (String key : keys) {
      file.text(key).op('a');
    }
    return file.op('.');
  }

  private void writePlain() throws IOException {
    plain("other-magic", TorchFile.pickle().number(7).op('.').op(0x80, 2).op("}."));
    plain("only-a-dictionary", new TorchFile().raw(GOOD));
    plain("no-list", TorchFile.plain().raw(GOOD).op(0x80, 2).op("N."));
    plain("other-key", keys("1").little(2, 8).raw(TWO));
    plain("number-as-key", TorchFile.plain().raw(GOOD).op(0x80, 2).op("]Na."));
    plain("no-key", keys());
    plain("key-twice", keys("0", "0").little(2, 8).raw(TWO).little(2, 8).raw(TWO));
    plain("longer", keys("0").little(2, 8).raw(TWO).op('x'));
    plain("other-count", keys("0").little(3, 8).raw(TWO));
    plain("negative-count", keys("0").little(-2, 8).raw(TWO));
    plain("no-count", keys("0").little(2, 7));
    plain("cut", keys("0").little(2, 8).little(1, 7));
    plain(
        "huge",
        TorchFile.plain()
            .raw(TorchFile.gamma(1L << 60, 0, new long[] {2}, new long[] {1}))
            .op(0x80, 2)
            .op(']')
            .text("0")
            .op("a.")
            .little(1L << 60, 8)
            .raw(TWO));
    plain(
        "view-of-a-storage",
        TorchFile.plain()
            .op(0x80, 2)
            .op('}')
            .text("gamma")
            .global("torch._utils", "_rebuild_tensor")
            .op("((")
            .text("storage")
            .global("torch", "FloatStorage")
            .text("0")
            .text("cpu")
            .number(2)
            .op("(NNNttQ")
            .number(0)
            .numbers(2)
            .numbers(1)
            .op("tRs."));
    TorchFile other = TorchFile.plain();
    byte[] start = other.bytes();
    start[start.length - 7] ^= 1;
    plain("other-protocol", new TorchFile().raw(start).raw(GOOD));
  }
}
