package dev.vbn.process;

import dev.vbn.spi.Capability;
import dev.vbn.state.NamedTensors;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * How a program introduces itself.
 *
 * @param name what computes, in words
 * @param capabilities those that are the program's to have
 */
record Hello(String name, Set<Capability> capabilities) {
  private static final String VERSION = "1";

  /** The others follow from plain arrays: a program is never asked for them. */
  private static final List<Capability> OF_PROGRAMS = List.of(
      Capability.FLOAT64,
      Capability.FLOAT64_STATISTICS,
      Capability.SUBNORMALS,
      Capability.DOUBLE_BACKWARD,
      Capability.CONDITIONAL);

  /** The first message. */
  static Message request() {
    return new Message("hello").with("vbn", VERSION);
  }

  /** What the answer to it says. */
  static Hello of(NamedTensors answer) {
    Map<String, String> texts = answer.texts();
    if (!VERSION.equals(texts.get("vbn"))) {
      throw new IllegalArgumentException(
          (texts.containsKey("vbn") ? "vbn is '" + texts.get("vbn") + "'" : "vbn is missing")
              + "; expected " + VERSION + ", the version of the protocol");
    }
    String name = texts.getOrDefault("name", "");
    String words = texts.get("capabilities");
    if (name.isBlank() || words == null) {
      throw new IllegalArgumentException((words == null ? "capabilities are" : "name is")
          + " missing; expected vbn, name and capabilities");
    }
    Set<Capability> capabilities = EnumSet.noneOf(Capability.class);
    for (String word : words.isBlank() ? new String[0] : words.strip().split("\\s+")) {
      capabilities.add(Arrays.stream(Capability.values())
          .filter(each -> each.name().equals(word) && OF_PROGRAMS.contains(each))
          .findFirst()
          .orElseThrow(() -> new IllegalArgumentException(
              "capability '" + word + "' is declared; expected some of " + OF_PROGRAMS)));
    }
    return new Hello(name.strip(), capabilities);
  }
}
