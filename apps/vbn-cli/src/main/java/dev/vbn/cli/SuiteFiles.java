package dev.vbn.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.joining;

import dev.vbn.cli.report.Json;
import dev.vbn.conformance.Rule;
import dev.vbn.conformance.Suite;
import dev.vbn.conformance.Suite.Judgement;
import dev.vbn.spi.Capability;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.state.StateDict;
import dev.vbn.state.StateException;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * The kit as files: {@code cases/NAME.safetensors} are inputs, {@code expected/NAME.safetensors}
 * what must come of them, and {@code answers/NAME.safetensors} what did.
 */
final class SuiteFiles {
  private static final String CASES = "cases";
  private static final String EXPECTED = "expected";
  private static final String ANSWERS = "answers";
  private static final String SUFFIX = ".safetensors";
  private static final String INDEX = "index" + SUFFIX;

  private SuiteFiles() {}

  /** Writes all but the answers. */
  static void export(Path directory, Set<Capability> capabilities, PrintWriter out)
      throws IOException {
    Suite suite = suite(capabilities);
    try (StagedOutputs outputs = new StagedOutputs()) {
      List<Object> index = new ArrayList<>();
      for (String each : List.of("", CASES, EXPECTED)) {
        outputs.makeDirectory("--export", directory.resolve(each));
      }
      for (Suite.Entry entry : suite.entries()) {
        write(outputs, directory.resolve(CASES), entry, entry.input());
        write(outputs, directory.resolve(EXPECTED), entry, entry.expected());
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("name", entry.name());
        json.put("description", entry.describe());
        json.putAll(entry.input().texts());
        Map<String, Object> wanted = new LinkedHashMap<>();
        entry.rules().forEach((tensor, rule) -> wanted.put(tensor, rule.id()));
        json.put("wanted", wanted);
        index.add(json);
      }
      Map<String, String> made = Map.of(
          "capabilities",
          suite.capabilities().stream().map(Enum::name).sorted().collect(joining(" ")),
          "seed",
          Long.toString(suite.seed()));
      outputs
          .stage("--export", directory.resolve(INDEX))
          .write(stream -> Safetensors.write(stream, new NamedTensors(Map.of(), made)));
      Map<String, Object> json = new LinkedHashMap<>(made);
      Map<String, Object> rules = new LinkedHashMap<>();
      judged(suite).forEach(rule -> rules.put(rule.id(), rule.sentence()));
      json.put("rules", rules);
      json.put("cases", index);
      byte[] text = Json.of(json).getBytes(UTF_8);
      outputs
          .stage("--export", directory.resolve("index.json"))
          .write(stream -> stream.write(text));
      byte[] page = page();
      outputs.stage("--export", directory.resolve("README.md")).write(stream -> stream.write(page));
      outputs.commit();
    }
    out.println(suite.entries().size() + " cases of " + judged(suite).size() + " rules; "
        + directory.resolve("README.md") + " says what they are");
  }

  private static Suite suite(Set<Capability> capabilities) {
    try {
      return Suite.of(capabilities);
    } catch (IllegalArgumentException e) {
      throw new BadInputException("--capabilities: " + e.getMessage());
    }
  }

  private static void write(
      StagedOutputs outputs, Path directory, Suite.Entry entry, NamedTensors content)
      throws IOException {
    outputs
        .stage("--export", directory.resolve(entry.name() + SUFFIX))
        .write(stream -> Safetensors.write(stream, content));
  }

  private static byte[] page() throws IOException {
    try (InputStream in = SuiteFiles.class.getResourceAsStream("suite.md")) {
      if (in == null) {
        throw new IOException("no resource suite.md; expected it in the tool's jar");
      }
      return in.readAllBytes();
    }
  }

  private static Set<Rule> judged(Suite suite) {
    Set<Rule> rules = new TreeSet<>();
    suite.entries().forEach(entry -> rules.addAll(entry.rules().values()));
    return rules;
  }

  /**
   * Judges the answers.
   *
   * @return whether all are right
   */
  static boolean check(Path directory, PrintWriter out) throws IOException {
    Suite suite = made(directory);
    Path answers = directory.resolve(ANSWERS);
    if (!Files.isDirectory(answers)) {
      throw new BadInputException("--check " + directory + ": has no directory '" + ANSWERS
          + "'; expected one with the answers, as its README.md says");
    }
    Map<Rule, List<Judgement>> judgements = new EnumMap<>(Rule.class);
    for (Suite.Entry entry : suite.entries()) {
      for (Judgement each : judge(entry, answers.resolve(entry.name() + SUFFIX))) {
        judgements.computeIfAbsent(each.rule(), first -> new ArrayList<>()).add(each);
      }
    }
    Table table = new Table("RULE", "RIGHT", "WRONG", "FIRST FAILURE");
    int failed = 0;
    for (Map.Entry<Rule, List<Judgement>> each : judgements.entrySet()) {
      List<Judgement> wrong =
          each.getValue().stream().filter(one -> one.wrong() != null).toList();
      failed += wrong.isEmpty() ? 0 : 1;
      table.row(
          each.getKey().id(),
          Integer.toString(each.getValue().size() - wrong.size()),
          Integer.toString(wrong.size()),
          wrong.isEmpty()
              ? "-"
              : ErrorLine.of(wrong.get(0).entry() + ": " + wrong.get(0).wrong()));
    }
    table.print(out);
    out.println();
    out.println(failed + " of " + judgements.size() + " rules failed. Not judged, for they need a"
        + " backend: "
        + Arrays.stream(Rule.values())
            .filter(rule -> !judgements.containsKey(rule))
            .map(Rule::id)
            .collect(joining(", ")));
    return failed == 0;
  }

  /** The suite as it was exported. */
  private static Suite made(Path directory) throws IOException {
    Map<String, String> made;
    try {
      made = Safetensors.read(directory.resolve(INDEX)).texts();
    } catch (IOException e) {
      throw new BadInputException("--check " + directory + ": " + INDEX + " cannot be read ("
          + ErrorLine.describe(e) + "); expected a directory that --export wrote");
    }
    EnumSet<Capability> capabilities = EnumSet.noneOf(Capability.class);
    for (Capability each : Capability.values()) {
      if ((" " + made.get("capabilities") + " ").contains(" " + each.name() + " ")) {
        capabilities.add(each);
      }
    }
    Suite suite = suite(capabilities);
    if (!Long.toString(suite.seed()).equals(made.get("seed"))) {
      throw new BadInputException("--check " + directory + ": was exported with seed "
          + made.get("seed") + "; expected " + suite.seed()
          + ", or -Dvbn.conformance.seed=" + made.get("seed"));
    }
    return suite;
  }

  private static List<Judgement> judge(Suite.Entry entry, Path file) throws IOException {
    Map<String, HostTensor> answers = Map.of();
    String problem = null;
    Path ofTorch = file.resolveSibling(entry.name() + ".pt");
    try {
      if (Files.exists(file)) {
        answers = Safetensors.read(file).tensors();
      } else if (Files.exists(ofTorch)) {
        answers = StateDict.read(ofTorch).tensors();
      } else {
        problem = file.getFileName() + " is missing; expected it in " + file.getParent();
      }
    } catch (StateException e) {
      problem = String.valueOf(e.getMessage());
    }
    List<Judgement> judgements = entry.judge(answers);
    String unread = problem;
    return unread == null
        ? judgements
        : judgements.stream()
            .map(each -> new Judgement(each.rule(), each.entry(), unread))
            .toList();
  }
}
