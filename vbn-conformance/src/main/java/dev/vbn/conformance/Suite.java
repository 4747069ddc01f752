package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Scope;
import dev.vbn.state.NamedTensors;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The part of the kit that is data, for implementations that cannot be called: inputs, what must
 * come of them, and how far a result may be from it. Rules about calls (identity, threads, closing,
 * refusals, bits) and those of the largest batches need a backend, and are left to the kit.
 */
public final class Suite {
  private static final Map<Quantity, Rule> OF_THE_TABLE = new EnumMap<>(Map.ofEntries(
      Map.entry(Quantity.MEAN, Rule.STATISTICS),
      Map.entry(Quantity.VARIANCE, Rule.STATISTICS),
      Map.entry(Quantity.REFERENCE_OUTPUT, Rule.REFERENCE_PASS),
      Map.entry(Quantity.LIVE_MEAN, Rule.MIXED_STATISTICS),
      Map.entry(Quantity.LIVE_VARIANCE, Rule.MIXED_STATISTICS),
      Map.entry(Quantity.OUTPUT, Rule.FORWARD),
      Map.entry(Quantity.DX, Rule.INPUT_GRADIENT),
      Map.entry(Quantity.DGAMMA, Rule.GAMMA_GRADIENT),
      Map.entry(Quantity.DBETA, Rule.BETA_GRADIENT),
      Map.entry(Quantity.DREFERENCE, Rule.REFERENCE_GRADIENT),
      Map.entry(Quantity.REFERENCE_DX, Rule.REFERENCE_PASS_GRADIENT),
      Map.entry(Quantity.REFERENCE_DGAMMA, Rule.REFERENCE_PASS_GRADIENT),
      Map.entry(Quantity.REFERENCE_DBETA, Rule.REFERENCE_PASS_GRADIENT)));

  private final Set<Capability> capabilities;
  private final Tolerance tolerance;
  private final List<Entry> entries = new ArrayList<>();

  /**
   * The suite for an implementation with these capabilities, of which {@link Capability#FLOAT64},
   * {@link Capability#FLOAT64_STATISTICS} and {@link Capability#SUBNORMALS} count.
   */
  public static Suite of(Set<Capability> capabilities) {
    return new Suite(capabilities);
  }

  private Suite(Set<Capability> capabilities) {
    EnumSet<Capability> counting =
        EnumSet.of(Capability.FLOAT64, Capability.FLOAT64_STATISTICS, Capability.SUBNORMALS);
    counting.retainAll(capabilities);
    if (counting.contains(Capability.FLOAT64)
        && !counting.contains(Capability.FLOAT64_STATISTICS)) {
      throw new IllegalArgumentException("capabilities are " + counting
          + "; expected FLOAT64_STATISTICS with FLOAT64, which cannot do without");
    }
    this.capabilities = counting;
    tolerance = new Tolerance(counting);
    boolean wide = wide();
    boolean subnormals = counting.contains(Capability.SUBNORMALS);
    HostTensor pair = HostTensor.of(new float[] {1, 3}, 2, 1);
    Case unbiased = new Case(VbnConfig.of(1), pair, pair, null, null, pair, pair);
    add("pair", Rule.BIASED_VARIANCE, unbiased, DType.FLOAT32, List.of(Quantity.VARIANCE));
    for (DType dtype : counting.contains(Capability.FLOAT64)
        ? new DType[] {DType.FLOAT32, DType.FLOAT64}
        : new DType[] {DType.FLOAT32}) {
      addTable(dtype);
      for (Variant variant : Variant.values()) {
        addGolden(variant, dtype);
        List<Quantity> quantities = ExtremeRules.Extreme.quantities(wide);
        Case largest = ExtremeRules.largest(variant, dtype, wide).input();
        add(variant.label() + "-largest", Rule.LARGEST, largest, dtype, quantities);
        Case smallest = ExtremeRules.smallest(variant, dtype, wide, subnormals).input();
        add(variant.label() + "-smallest", Rule.SMALLEST, smallest, dtype, quantities);
      }
    }
    for (Variant variant : Variant.values()) {
      addOffset(variant, wide);
      int number = 0;
      for (Case c : ExtremeRules.constants(variant, wide)) {
        addConstants(variant.label() + "-constants-" + number++, c, wide);
      }
      addConstants(
          variant.label() + "-constants-apart", ExtremeRules.constantsApart(variant), wide);
    }
  }

  private boolean wide() {
    return capabilities.contains(Capability.FLOAT64_STATISTICS);
  }

  private void addTable(DType dtype) {
    int number = 0;
    for (Conditions row : Conditions.all()) {
      Case c = row.of(dtype);
      Expected expected = Oracle.expect(c, dtype, wide());
      Entry entry = new Entry(String.format(Locale.ROOT, "table-%03d", number++), c, dtype);
      OF_THE_TABLE.forEach((quantity, rule) -> {
        if (expected.has(quantity)) {
          entry.expect(quantity, expected.of(quantity), rule);
        }
      });
      entries.add(entry);
    }
  }

  private void addGolden(Variant variant, DType dtype) {
    for (GoldenCase golden : GoldenCase.of(variant)) {
      Entry entry = new Entry("golden-" + golden.name(), golden.input(), dtype);
      try {
        golden
            .expected(dtype, wide())
            .forEach((quantity, values) -> entry.expect(quantity, values, Rule.FORWARD));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      entries.add(entry);
    }
  }

  private void addOffset(Variant variant, boolean wide) {
    Case far = ExtremeRules.offsetBy(ExtremeRules.farOffset(wide), variant);
    Entry entry = new Entry(variant.label() + "-offset", far, DType.FLOAT32);
    for (Quantity each : ExtremeRules.OFFSET_QUANTITIES) {
      if (isShown(each)) {
        Values values = Oracle.expect(far, DType.FLOAT32, wide).of(each);
        entry.expect(each, values.scaled(2), Rule.OFFSET);
      }
    }
    entries.add(entry);
  }

  private void addConstants(String name, Case c, boolean wide) {
    Entry entry = new Entry(name, c, DType.FLOAT32);
    for (Quantity each : ExtremeRules.CONSTANT_QUANTITIES) {
      entry.expect(each, ExtremeRules.ofConstants(c, each, wide), Rule.CONSTANTS);
    }
    entries.add(entry);
  }

  private void add(String name, Rule rule, Case c, DType dtype, List<Quantity> quantities) {
    Entry entry = new Entry(name, c, dtype);
    Expected expected = Oracle.expect(c, dtype, wide());
    quantities.stream()
        .filter(Suite::isShown)
        .filter(expected::has)
        .forEach(each -> entry.expect(each, expected.of(each), rule));
    entries.add(entry);
  }

  /** Statistics taken alone are those of the reference pass, and need not be given twice. */
  private static boolean isShown(Quantity quantity) {
    return OF_THE_TABLE.containsKey(quantity);
  }

  /** The capabilities that count, of those that it was made for. */
  public Set<Capability> capabilities() {
    return Set.copyOf(capabilities);
  }

  /** The seed of its numbers; the system property {@code vbn.conformance.seed} gives another. */
  public long seed() {
    return Samples.seed();
  }

  /** All entries; no two have the same name. */
  public List<Entry> entries() {
    return List.copyOf(entries);
  }

  /**
   * One comparison.
   *
   * @param entry name of the entry
   * @param wrong what is wrong; null if nothing is
   */
  public record Judgement(Rule rule, String entry, @Nullable String wrong) {}

  /** One input, and what must come of it. */
  public final class Entry {
    private final String name;
    private final Case input;
    private final DType dtype;
    private final Map<Quantity, Values> expected = new EnumMap<>(Quantity.class);
    private final Map<Quantity, Rule> rules = new EnumMap<>(Quantity.class);

    private Entry(String name, Case exact, DType dtype) {
      this.name = name + (dtype == DType.FLOAT64 ? "-64" : "-32");
      this.input = exact.roundedTo(dtype);
      this.dtype = dtype;
    }

    private void expect(Quantity quantity, Values values, Rule rule) {
      expected.put(quantity, values);
      rules.put(quantity, rule);
    }

    /** Lower-case letters, digits and hyphens. */
    public String name() {
      return name;
    }

    /** Names of the tensors that are wanted, with the rule that each is judged by. */
    public Map<String, Rule> rules() {
      Map<String, Rule> named = new LinkedHashMap<>();
      rules.forEach((quantity, rule) -> named.put(nameOf(quantity), rule));
      return named;
    }

    /** Variant, shapes and what else is told of the case, in words. */
    public String describe() {
      return input.describe();
    }

    /** The tensors of the case, and its numbers as texts. */
    public NamedTensors input() {
      Map<String, HostTensor> tensors = new LinkedHashMap<>();
      tensors.put("x", input.x());
      tensors.put("reference", input.reference());
      if (input.gamma() != null) {
        tensors.put("gamma", input.gamma());
      }
      if (input.beta() != null) {
        tensors.put("beta", input.beta());
      }
      tensors.put("upstream", input.upstream());
      tensors.put("reference_upstream", input.referenceUpstream());
      VbnConfig config = input.config();
      int axis = config.featureAxis();
      Map<String, String> texts = new LinkedHashMap<>();
      texts.put("variant", config.variant().label());
      texts.put("scope", config.variant().scope().name().toLowerCase(Locale.ROOT));
      texts.put("weight", Double.toString(input.weight()));
      texts.put("epsilon", Double.toString(config.epsilon()));
      texts.put(
          "feature_axis", Integer.toString(axis < 0 ? axis + input.x().shape().length : axis));
      texts.put("attached", Boolean.toString(input.attached()));
      return new NamedTensors(tensors, texts);
    }

    /** The values of each wanted tensor, and under {@code NAME.bound} how far each may be off. */
    public NamedTensors expected() {
      Map<String, HostTensor> tensors = new LinkedHashMap<>();
      expected.forEach((quantity, values) -> {
        long[] shape = shape(quantity);
        tensors.put(nameOf(quantity), HostTensor.of(values.expected(), shape));
        tensors.put(
            nameOf(quantity) + ".bound",
            HostTensor.of(tolerance.bounds(values, quantity.roundedTo(dtype)), shape));
      });
      return new NamedTensors(tensors, Map.of());
    }

    private long[] shape(Quantity quantity) {
      long features = input.config().features();
      return switch (quantity) {
        case OUTPUT, DX -> input.x().shape();
        case REFERENCE_OUTPUT, REFERENCE_DX, DREFERENCE -> input.reference().shape();
        case LIVE_MEAN, LIVE_VARIANCE ->
          input.config().variant().scope() == Scope.EXAMPLE
              ? new long[] {input.x().shape()[0], features}
              : new long[] {features};
        default -> new long[] {features};
      };
    }

    /** Compares answers, by the names that {@link #rules} has. */
    public List<Judgement> judge(Map<String, HostTensor> answers) {
      List<Judgement> judgements = new ArrayList<>();
      expected.forEach((quantity, values) -> {
        Rule rule = requireNonNull(rules.get(quantity));
        judgements.add(
            new Judgement(rule, name, wrong(quantity, values, answers.get(nameOf(quantity)))));
      });
      return judgements;
    }

    private @Nullable String wrong(Quantity quantity, Values values, @Nullable HostTensor answer) {
      if (answer == null) {
        return nameOf(quantity) + " is missing; expected " + Arrays.toString(shape(quantity));
      }
      if (!Arrays.equals(answer.shape(), shape(quantity))) {
        return nameOf(quantity) + " has shape " + Arrays.toString(answer.shape()) + "; expected "
            + Arrays.toString(shape(quantity));
      }
      String wrong =
          tolerance.disagreement(nameOf(quantity), values, answer, quantity.roundedTo(dtype));
      return wrong == null ? null : wrong + ", for " + describe() + ". " + quantity.hint();
    }
  }

  private static String nameOf(Quantity quantity) {
    return quantity.name().toLowerCase(Locale.ROOT);
  }
}
