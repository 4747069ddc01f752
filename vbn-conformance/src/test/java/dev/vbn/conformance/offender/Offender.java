package dev.vbn.conformance.offender;

import dev.vbn.conformance.Rule;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A provider with one fault.
 *
 * @param fault what its author did
 * @param rule the rule that it breaks
 * @param hint a part of the message that tells the author what to mend
 * @param alsoFails rules that cannot be helped: they look at the same numbers
 * @param promised capabilities promised to the kit
 */
record Offender(
    String fault,
    Rule rule,
    String hint,
    Set<Rule> alsoFails,
    Set<Capability> promised,
    VbnProvider provider) {

  static Offender breaking(
      Rule rule, String fault, String hint, Supplier<? extends VbnBackend<?>> backend) {
    return breaking(rule, fault, hint, new PlainProvider(backend));
  }

  static Offender breaking(Rule rule, String fault, String hint, VbnProvider provider) {
    return new Offender(fault, rule, hint, Set.of(), PlainBackend.CAPABILITIES, provider);
  }

  Offender alsoFailing(Rule... rules) {
    Set<Rule> all = EnumSet.noneOf(Rule.class);
    all.addAll(alsoFails);
    all.addAll(List.of(rules));
    return new Offender(fault, rule, hint, all, promised, provider);
  }

  Offender promising(Capability... capabilities) {
    return new Offender(fault, rule, hint, alsoFails, Set.of(capabilities), provider);
  }

  static List<Offender> all() {
    return Stream.of(
            ProviderOffenders.all(),
            StatisticsOffenders.all(),
            ForwardOffenders.all(),
            GradientOffenders.all(),
            NumericsOffenders.all(),
            LifecycleOffenders.all())
        .flatMap(List::stream)
        .toList();
  }

  @Override
  public String toString() {
    return rule.id() + ": " + fault;
  }
}
