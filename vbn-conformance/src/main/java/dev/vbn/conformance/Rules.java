package dev.vbn.conformance;

import static java.util.Comparator.comparing;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Variant;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.lang.reflect.Method;
import java.util.ArrayList;
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

  /** Runs the body of a test, so that it is known whether it got to its end. */
  static void holds(Check.Body body) {
    Check.current().run(body);
  }

  /** Fails unless these results are right in every row of the table, in every element type. */
  final void agrees(Quantity... quantities) {
    holds(() -> {
      requireComputed(quantities[0]);
      checkTable(subject(), Conditions.all(), quantities);
    });
  }

  /** Ends a check as declared absent where the backend lacks what the quantity takes. */
  final void requireComputed(Quantity quantity) {
    if (!subject().computes(quantity)) {
      throw new DeclaredAbsent("DOUBLE_BACKWARD is declared absent; its refusal is checked apart");
    }
  }

  static void checkTable(Subject<?> subject, List<Conditions> rows, Quantity... quantities) {
    List<Conditions> failed = new ArrayList<>();
    String first = "";
    for (DType dtype : subject.dtypes()) {
      for (Conditions row : rows) {
        Case c = row.of(dtype);
        Computed computed = subject.known(c, dtype, row.manner());
        String wrong = disagreement(subject, quantities, subject.expect(c, dtype), computed, dtype);
        if (!wrong.isEmpty()) {
          failed.add(row);
          first = first.isEmpty() ? wrong.formatted(row.describe(dtype)) : first;
        }
      }
    }
    if (!failed.isEmpty()) {
      fail(first + " " + failed.size() + " of "
          + rows.size() * subject.dtypes().size() + " cases fail."
          + Conditions.common(failed));
    }
  }

  /** With %s for the case; empty where all agrees. */
  private static String disagreement(
      Subject<?> subject,
      Quantity[] quantities,
      Expected expected,
      Computed computed,
      DType dtype) {
    for (Quantity quantity : quantities) {
      if (expected.has(quantity) && subject.computes(quantity)) {
        String wrong = subject.tolerance.disagreement(
            quantity.label(),
            expected.of(quantity),
            computed.of(quantity),
            quantity.roundedTo(dtype));
        if (wrong != null) {
          return wrong + ", for %s. " + quantity.hint();
        }
      }
    }
    return "";
  }

  /** Fails unless everything computed of a case is as expected. */
  static void assertAgrees(
      Subject<?> subject, String where, Expected expected, Computed computed, DType dtype) {
    assertAgrees(subject, where, expected, computed, dtype, Quantity.values());
  }

  /** Fails unless these of a case are as expected. */
  static void assertAgrees(
      Subject<?> subject,
      String where,
      Expected expected,
      Computed computed,
      DType dtype,
      Quantity... quantities) {
    String wrong = disagreement(subject, quantities, expected, computed, dtype);
    if (!wrong.isEmpty()) {
      fail(wrong.formatted(where));
    }
  }

  /** Everything computed of a case, which has to be right: what else is compared with it. */
  static Computed right(Subject<?> subject, Case c, DType dtype) {
    return right(subject, c, dtype, Manner.PLAIN);
  }

  static Computed right(Subject<?> subject, Case c, DType dtype, Manner manner) {
    Computed computed = subject.run(c, dtype, manner);
    assertAgrees(
        subject, c.describe() + ", in " + dtype, subject.expect(c, dtype), computed, dtype);
    return computed;
  }

  /** Fails unless both hold the same bits of everything that they hold. */
  static void assertEqualBits(String where, Computed expected, Computed actual, String hint) {
    for (Map.Entry<Quantity, HostTensor> each : expected.all().entrySet()) {
      Quantity quantity = each.getKey();
      Tolerance.assertSameBits(
          quantity.label() + where, each.getValue(), actual.of(quantity), hint);
    }
  }

  /** A type for each variant, so that all large cases take the time of one type. */
  final DType byTurn(Variant variant) {
    List<DType> dtypes = subject().dtypes();
    return dtypes.get(List.of(Variant.values()).indexOf(variant) % dtypes.size());
  }

  /**
   * The element types that the backend has: the source of tests that run in each. Without a device
   * there is one, so that the tests start and say so.
   */
  final List<DType> dtypes() {
    try {
      return subject().dtypes();
    } catch (NoDevice e) {
      return List.of(DType.FLOAT32);
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
