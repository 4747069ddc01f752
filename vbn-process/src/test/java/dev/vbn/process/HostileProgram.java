package dev.vbn.process;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A program that leaves the protocol in one way. Until then, and in all else, it answers {@code
 * forward} with its batch.
 */
final class HostileProgram {
  private static final OutputStream ANSWERS = System.out;

  private final String way;
  private final Path file;
  private int forwards;

  private HostileProgram(String way, Path file) {
    this.way = way;
    this.file = file;
  }

  /** The command that starts it. */
  static String command(String way, Path file) {
    String classPath = Stream.of(
            HostileProgram.class, Safetensors.class, HostTensor.class, JsonFactory.class)
        .map(type -> type.getProtectionDomain().getCodeSource())
        .map(CodeSource::getLocation)
        .map(location -> Path.of(location.getPath()).toString())
        .collect(Collectors.joining(":"));
    // With exec: a shell between would be one more process to end.
    return "exec '" + Path.of(System.getProperty("java.home"), "bin", "java")
        + "' -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '" + classPath + "' "
        + HostileProgram.class.getName() + " " + way + " '" + file + "'";
  }

  public static void main(String[] arguments) throws Exception {
    new HostileProgram(arguments[0], Path.of(arguments[1])).serve(System.in);
  }

  private void serve(InputStream requests) throws Exception {
    while (true) {
      NamedTensors request;
      try {
        request = Safetensors.read(requests);
      } catch (EOFException e) {
        if (way.equals("stays")) {
          Thread.currentThread().join();
        }
        return;
      }
      String call = request.texts().get("call");
      switch (request.texts().get("op")) {
        case "hello" -> hello(call);
        case "forward" -> forward(call, request.tensors().get("x"));
        default -> write(bytes(Map.of("call", call, "error", "only forward is here"), Map.of()));
      }
    }
  }

  private void hello(String call) throws Exception {
    Map<String, String> texts = new LinkedHashMap<>(Map.of(
        "call", call, "vbn", "1", "name", "hostile", "capabilities", "FLOAT64 FLOAT64_STATISTICS"));
    switch (way) {
      case "prints-first" -> new PrintStream(ANSWERS, true, UTF_8).println("Loading the model...");
      case "of-version-2" -> texts.put("vbn", "2");
      case "without-name" -> texts.remove("name");
      case "of-unknown-capability" -> texts.put("capabilities", "FLOAT64 TELEPATHY");
      case "of-foreign-capability" -> texts.put("capabilities", "CALLER_SUPPLIED_OUTPUT");
      case "half-of-64-bits" -> texts.put("capabilities", "FLOAT64");
      case "turncoat" -> {
        if (Files.exists(file)) {
          texts.put("capabilities", "");
        }
        Files.writeString(file, "was here");
      }
      case "has-child", "stays" -> start("sleep", "1000");
      case "has-orphan" -> start("sh", "-c", "sleep 1000 & echo $! > '" + file + "'");
      default -> {}
    }
    write(bytes(texts, Map.of()));
  }

  /** With our streams, so that it holds them open. */
  private void start(String... command) throws Exception {
    Process child = new ProcessBuilder(command).inheritIO().start();
    if (way.equals("has-orphan")) {
      child.waitFor();
    } else {
      Files.writeString(file, Long.toString(child.pid()));
    }
  }

  private void forward(String call, HostTensor x) throws Exception {
    forwards++;
    byte[] answer = bytes(Map.of("call", call), Map.of("output", x));
    switch (way) {
      case "prints" -> new PrintStream(ANSWERS, true, UTF_8).println("step 1 done");
      case "dies", "has-orphan", "turncoat" -> {
        System.err.println("device 0 is out of memory");
        System.exit(3);
      }
      case "dies-midway" -> {
        write(Arrays.copyOf(answer, answer.length - 4));
        System.exit(4);
      }
      case "closes" -> {
        ANSWERS.close();
        Thread.currentThread().join();
      }
      case "short" ->
        answer = bytes(Map.of("call", call), Map.of("output", HostTensor.of(new float[1], 1)));
      case "without-output" -> answer = bytes(Map.of("call", call), Map.of());
      case "with-more" -> answer = bytes(Map.of("call", call), Map.of("output", x, "mood", x));
      case "twice" -> write(answer);
      case "of-another-call" -> answer = bytes(Map.of("call", "77"), Map.of("output", x));
      case "with-rest" -> answer = Arrays.copyOf(answer, answer.length + 16);
      case "garbage" -> answer = "\u0007\u0001 no message at all".getBytes(UTF_8);
      case "no-json" -> answer = message("[1, 2, 3]");
      case "endless" ->
        answer = message(
            "{\"output\":{\"dtype\":\"F32\",\"shape\":[500000000],\"data_offsets\":[0,2000000000]}}");
      case "narrow" -> answer = bytes(Map.of("call", call), Map.of("output", x.to(DType.FLOAT32)));
      case "wide" -> answer = bytes(Map.of("call", call), Map.of("output", x.to(DType.FLOAT64)));
      case "floods" -> flood();
      case "errs" -> {
        if (forwards == 1) {
          answer = bytes(Map.of("call", call, "error", "matrix is\nsingular"), Map.of());
        }
      }
      default -> {}
    }
    write(answer);
  }

  /** More than any pipe holds. */
  private void flood() {
    String line = "warning: ".repeat(1000);
    for (int i = 0; i < 2000; i++) {
      System.err.println(line);
    }
    if (forwards == 2) {
      System.err.println("that was the last of it");
      System.exit(5);
    }
  }

  private static byte[] message(String header) {
    byte[] json = header.getBytes(UTF_8);
    return ByteBuffer.allocate(Long.BYTES + json.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(json.length)
        .put(json)
        .array();
  }

  private static byte[] bytes(Map<String, String> texts, Map<String, HostTensor> tensors)
      throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    Safetensors.write(bytes, new NamedTensors(tensors, texts));
    return bytes.toByteArray();
  }

  private static void write(byte[] bytes) throws IOException {
    ANSWERS.write(bytes);
    ANSWERS.flush();
  }
}
