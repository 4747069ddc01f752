package dev.vbn.process;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.state.NamedTensors;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A request: the operation with its texts and tensors, and the tensors that answer it. */
final class Message {
  private record Form(DType dtype, long[] shape) {}

  private final String operation;
  private final Map<String, String> texts = new LinkedHashMap<>();
  private final Map<String, HostTensor> tensors = new LinkedHashMap<>();
  private final Map<String, Form> expected = new LinkedHashMap<>();

  Message(String operation) {
    this.operation = operation;
  }

  Message with(String key, String text) {
    texts.put(key, text);
    return this;
  }

  /** Decimal digits enough for any reader to get the same bits. */
  Message with(String key, double number) {
    return with(key, Double.toString(number));
  }

  Message with(String name, @Nullable HostTensor tensor) {
    if (tensor != null) {
      tensors.put(name, tensor);
    }
    return this;
  }

  /** The batch as {@code [examples, before, features, after]}, over the same array. */
  Message with(String name, HostTensor batch, Geometry geometry) {
    return with(name, shaped(batch, shape(geometry)));
  }

  Message with(Moments<HostTensor> statistics) {
    return with("mean", statistics.mean()).with("variance", statistics.variance());
  }

  Message expecting(String name, DType dtype, long... shape) {
    expected.put(name, new Form(dtype, shape));
    return this;
  }

  static long[] shape(Geometry geometry) {
    return new long[] {geometry.batch(), geometry.before(), geometry.features(), geometry.after()};
  }

  /** Another shape over the same array. */
  static HostTensor shaped(HostTensor tensor, long... shape) {
    return tensor.dtype() == DType.FLOAT64
        ? HostTensor.of(tensor.doubles(), shape)
        : HostTensor.of(tensor.floats(), shape);
  }

  String operation() {
    return operation;
  }

  /** The request as it is sent. */
  NamedTensors numbered(long call) {
    Map<String, String> all = new LinkedHashMap<>();
    all.put("call", Long.toString(call));
    all.put("op", operation);
    all.putAll(texts);
    return new NamedTensors(tensors, all);
  }

  /** Bytes of the tensors that answer. */
  long answerBytes() {
    return expected.values().stream()
        .mapToLong(form -> Arrays.stream(form.shape).reduce(1, (a, b) -> a * b)
            * (form.dtype == DType.FLOAT64 ? Double.BYTES : Float.BYTES))
        .sum();
  }

  /** Refuses an answer without the number of the call, or with other tensors than those expected. */
  void requireAnswered(NamedTensors answer, long call) {
    String answered = answer.texts().get("call");
    if (!Long.toString(call).equals(answered)) {
      throw new IllegalArgumentException(
          (answered == null ? "call is missing" : "call is '" + answered + "'") + "; expected "
              + call + ", the one of the request");
    }
    if (answer.texts().containsKey("error")) {
      return;
    }
    if (!answer.tensors().keySet().equals(expected.keySet())) {
      throw new IllegalArgumentException(
          "tensors are " + answer.tensors().keySet() + "; expected " + expected.keySet());
    }
    expected.forEach((name, form) -> {
      HostTensor tensor = requireNonNull(answer.tensors().get(name), name);
      if (tensor.dtype() != form.dtype || !Arrays.equals(tensor.shape(), form.shape)) {
        throw new IllegalArgumentException(
            name + " is " + tensor.dtype() + " " + Arrays.toString(tensor.shape()) + "; expected "
                + form.dtype + " " + Arrays.toString(form.shape));
      }
    });
  }
}
