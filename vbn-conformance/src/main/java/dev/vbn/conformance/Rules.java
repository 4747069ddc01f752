package dev.vbn.conformance;

import static java.util.Comparator.comparing;

import dev.vbn.tensor.DType;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;

/** A family of rules, checked on the backend of one kit. */
@TestInstance(Lifecycle.PER_CLASS)
abstract class Rules {
  final VbnConformance kit;

  Rules(VbnConformance kit) {
    this.kit = kit;
  }

  final Subject<?> subject() {
    return kit.subject();
  }

  /**
   * The element types that the backend has: the source of tests that run in each. Without a device
   * there is one, so that the tests start and say so.
   */
  final List<DType> dtypes() {
    try {
      return subject().dtypes();
    } catch (NoDevice e) {
      return List.of(DType.FLOAT32); // so that the check runs, and is counted as without device
    }
  }

  /** All tests of the kit, with the rule that each holds, by rule and name. */
  static Map<Method, Rule> tests() {
    Map<Method, Rule> tests = new LinkedHashMap<>();
    Arrays.stream(VbnConformance.class.getDeclaredClasses())
        .filter(Rules.class::isAssignableFrom)
        .flatMap(family -> Arrays.stream(family.getSuperclass().getDeclaredMethods()))
        .filter(method -> method.isAnnotationPresent(Checks.class))
        .sorted(comparing((Method test) -> test.getAnnotation(Checks.class).value())
            .thenComparing(Method::getName))
        .forEach(test -> tests.put(test, test.getAnnotation(Checks.class).value()));
    return tests;
  }
}
