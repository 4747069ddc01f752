package dev.vbn.state;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files that PyTorch itself wrote ({@code make_state_dicts.py}) give what it says is in them. */
final class StateDictTest {
  @TempDir
  private Path folder;

  private static Map<String, HostTensor> expected(String state) throws IOException {
    Map<String, HostTensor> expected = new LinkedHashMap<>();
    Npz.read(
            SafetensorsTest.resource("expected-state-dicts.npz"),
            name -> name.startsWith(state + "/"))
        .tensors()
        .forEach((name, tensor) -> expected.put(name.substring(state.length() + 1), tensor));
    return expected;
  }

  @ParameterizedTest
  @CsvSource({
    "batch-norm, batch-norm",
    "batch-norm, batch-norm-plain",
    "types, types",
    "types, types-plain",
    "views, views",
    "views, views-plain",
    "checkpoint, checkpoint",
    "checkpoint, checkpoint-plain"
  })
  void tensorsAreThoseOfTorch(String state, String file) throws IOException {
    Map<String, HostTensor> expected = expected(state);
    expected.remove("num_batches_tracked"); // of 64-bit integers
    expected.remove("model.num_batches_tracked");
    assertTrue(expected.size() > 3);

    NamedTensors read =
        StateDict.read(SafetensorsTest.resource(file + ".pt"), expected::containsKey);

    assertEquals(expected.keySet(), read.tensors().keySet());
    expected.forEach((name, tensor) -> {
      HostTensor actual = read.tensors().get(name);
      assertArrayEquals(tensor.shape(), actual.shape(), name);
      assertArrayEquals(bits(tensor), bits(actual), name);
      boolean wide = name.equals("double") || name.equals("wide");
      assertEquals(wide ? DType.FLOAT64 : DType.FLOAT32, actual.dtype(), name);
    });
  }

  private static long[] bits(HostTensor tensor) {
    return Arrays.stream(tensor.toDoubles())
        .mapToLong(Double::doubleToRawLongBits)
        .toArray();
  }

  @Test
  void viewsOfOneStorageAreCopies() throws IOException {
    Map<String, HostTensor> read =
        StateDict.read(SafetensorsTest.resource("views.pt")).tensors();

    assertNotSame(read.get("base").floats(), read.get("same").floats());
  }

  @Test
  void numbersAndTextsOfACheckpointAreTexts() throws IOException {
    for (String file : List.of("checkpoint.pt", "checkpoint-plain.pt")) {
      Map<String, String> texts =
          StateDict.read(SafetensorsTest.resource(file), name -> false).texts();
      Map<String, String> own = new TreeMap<>(texts);
      own.keySet().removeIf(name -> name.startsWith("optimizer."));
      assertEquals(
          Map.of(
              "epoch", "3",
              "eps", "0.125",
              "variant", "per-example",
              "done", "false",
              "large", "1099511627776",
              "negative", "-7"),
          own);
      assertEquals("0.5", texts.get("optimizer.param_groups.0.lr"));
      assertEquals("1", texts.get("optimizer.param_groups.0.params.1"));
    }
  }

  /** The same network, as safetensors and as torch wrote it. */
  @ParameterizedTest
  @ValueSource(strings = {"network.pt", "network-plain.pt"})
  void aLayerIsLoadedFromATorchFile(String file) throws IOException {
    for (String prefix : List.of("vbn1.", "vbn2.")) {
      StateNames names = StateNames.known().withPrefix(prefix);
      LayerState expected = LayerState.load(SafetensorsTest.resource("network.safetensors"), names);
      LayerState layer = LayerState.load(SafetensorsTest.resource(file), names);

      assertEquals(expected.config(), layer.config());
      assertEquals(expected.reference(), layer.reference());
      assertEquals(12, layer.reference().examples());
      assertArrayEquals(expected.gamma().floats(), layer.gamma().floats());
      assertArrayEquals(expected.beta().floats(), layer.beta().floats());
    }
  }

  /** Whose {@code num_batches_tracked}, of integers, nobody wants. */
  @Test
  void aBatchNormIsALayerWhoseNamesAreOthers() throws IOException {
    LayerState layer = LayerState.load(
        SafetensorsTest.resource("checkpoint.pt"),
        StateNames.known()
            .withPrefix("model.")
            .with("gamma", "weight")
            .with("beta", "bias")
            .with("reference_mean", "running_mean")
            .with("reference_variance", "running_var")
            .with("epsilon", "eps")
            .with("reference_examples", "epoch")); // numbers somewhere in the file

    Map<String, HostTensor> expected = expected("checkpoint");
    assertArrayEquals(expected.get("model.weight").toDoubles(), layer.gamma().toDoubles());
    assertArrayEquals(
        expected.get("model.running_mean").toDoubles(), layer.reference().mean());
    assertEquals(0.125, layer.config().epsilon());
    assertEquals(3, layer.reference().examples());
    assertEquals(Variant.PER_EXAMPLE, layer.config().variant());
  }

  @Test
  void theByteOrderIsThatOfTheFile() throws IOException {
    byte[] pickle = TorchFile.gamma(2, 0, new long[] {2}, new long[] {1});
    for (ByteOrder order : new ByteOrder[] {ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN}) {
      byte[] word = (order == ByteOrder.BIG_ENDIAN ? "big" : "little").getBytes(UTF_8);
      Path file = write(TorchFile.zip(
          "net/data.pkl", pickle,
          "net/byteorder", word,
          "net/data/0", TorchFile.floats(order, 1.5f, -3)));
      assertArrayEquals(
          new float[] {1.5f, -3}, StateDict.read(file).tensors().get("gamma").floats());
    }
  }

  private Path write(byte[] bytes) throws IOException {
    return Files.write(folder.resolve("file.pt"), bytes);
  }

  /** As newer PyTorch writes types that have no class of storages. */
  @Test
  void aTypeThatIsNotReadIsRefusedOnlyWhereItIsWanted() throws IOException {
    byte[] pickle = TorchFile.pickle()
        .op('}')
        .text("small")
        .global("torch._utils", "_rebuild_tensor_v3")
        .op('(')
        .op('(')
        .text("storage")
        .global("torch.storage", "UntypedStorage")
        .text("1")
        .text("cpu")
        .number(2)
        .op("tQ")
        .number(0)
        .numbers(2)
        .numbers(1)
        .op(0x89)
        .op('}')
        .global("torch", "float8_e5m2")
        .op("tRs")
        .text("gamma")
        .tensor("0", 2, 0, new long[] {2}, new long[] {1})
        .op("s.")
        .bytes();
    Path file = write(TorchFile.zip(pickle, TorchFile.floats(ByteOrder.LITTLE_ENDIAN, 1, 2)));

    assertArrayEquals(new float[] {1, 2}, LayerState.load(file).gamma().floats());
    assertRefused(file, "tensor 'small' is of torch.float8_e5m2; expected FloatStorage");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "whole-module.pt | names 'torch.nn.modules.batchnorm BatchNorm1d' before byte",
        "one-tensor.pt | holds a tensor; expected a dictionary",
        "script.pt | is a program of TorchScript; expected a state dict",
        "types.pt | tensor 'int64' is of LongStorage; expected FloatStorage"
      })
  void whatIsNoStateDictIsRefusedByName(String name, String message) {
    assertRefused(SafetensorsTest.resource(name), message, "; expected ");
  }

  @Test
  void nothingThatAFileNamesIsRun() throws IOException {
    Path sign = folder.resolve("sign");
    String command = "touch " + sign;
    List<TorchFile> attacks = List.of(
        TorchFile.pickle().global("os", "system").op('(').text(command).op("tR."),
        TorchFile.pickle()
            .text("os")
            .text("system")
            .op(0x93)
            .op('(')
            .text(command)
            .op("tR."),
        TorchFile.pickle().global("builtins", "eval").op('(').text(command).op("tR."),
        TorchFile.pickle().global("torch.hub", "load").op('(').text(command).op("tR."),
        TorchFile.pickle().op('(').text(command).op("ios\nsystem\n."),
        TorchFile.pickle().op('(').global("os", "system").text(command).op("o."),
        TorchFile.pickle().global("java.lang", "Runtime").op("(t").op(0x81).op('.'),
        TorchFile.pickle().global("torch", "load").op("(tR."),
        TorchFile.pickle().global("torch", "FloatStorage").op("(tR."),
        TorchFile.pickle().op(0x82, 1).op('.'));
    for (TorchFile attack : attacks) {
      for (byte[] bytes : new byte[][] {
        TorchFile.zip(attack.bytes(), new byte[0]),
        TorchFile.plain().raw(attack.bytes()).bytes()
      }) {
        Path file = write(bytes);
        String message =
            assertThrows(StateException.class, () -> StateDict.read(file)).getMessage();
        assertTrue(
            message.contains(": names '")
                || message.contains(": calls '")
                || message.contains(": has the opcode "),
            message);
      }
    }
    assertTrue(Files.notExists(sign));
  }

  /** What a file is damaged to is either another state dict or refused by name. */
  @ParameterizedTest
  @ValueSource(strings = {"views.pt", "views-plain.pt"})
  void damageIsSeenOrDoesNotMatter(String name) throws IOException {
    byte[] whole = Resources.bytes(name);
    Random random = new Random(7);
    int refused = 0;
    for (int i = 0; i < whole.length; i++) {
      byte[] damaged = whole.clone();
      damaged[i] = (byte) random.nextInt(256);
      Path file = write(damaged);
      try {
        StateDict.read(file);
      } catch (StateException e) {
        refused++;
        assertTrue(e.getMessage().startsWith(file + ": "), e.getMessage());
        assertTrue(e.getMessage().contains("; expected "), e.getMessage());
      }
    }
    assertTrue(refused > whole.length / 4, refused + " of " + whole.length);
  }

  @Test
  void otherEndingsAreRefused() {
    String message = assertThrows(
            IllegalArgumentException.class, () -> LayerState.load(folder.resolve("layer.ckpt")))
        .getMessage();
    assertTrue(message.contains("expected one that ends in .safetensors, .npz, .pt"), message);
  }

  private static void assertRefused(Path file, String... fragments) {
    String message =
        assertThrows(StateException.class, () -> StateDict.read(file)).getMessage();
    for (String fragment : fragments) {
      assertTrue(message.contains(fragment), message);
    }
  }
}
