package dev.vbn.conformance.offender;

import dev.vbn.conformance.Rule;
import java.util.Comparator;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.MethodDescriptor;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.MethodOrdererContext;

/** Rules by their number, those that take seconds at the end: most faults end a run before. */
public final class CheapestFirst implements MethodOrderer {
  private static final Set<Rule> LONG = Set.of(Rule.SLOPES, Rule.SIZE, Rule.THREADS);

  @Override
  public void orderMethods(MethodOrdererContext context) {
    context.getMethodDescriptors().sort(Comparator.comparingInt(CheapestFirst::place));
  }

  private static int place(MethodDescriptor method) {
    Optional<Rule> rule = Rule.checkedBy(method.getMethod());
    int last = rule.filter(LONG::contains).isPresent() ? 1000 : 0;
    return last + rule.map(Rule::number).orElse(0);
  }
}
