package dev.vbn.conformance.offender;

import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.conformance.Rule;
import dev.vbn.conformance.VbnConformance;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.platform.commons.annotation.Testable;
import org.junit.platform.commons.support.AnnotationSupport;

/** Rules, the tests that hold them, and the page that lists both belong together. */
class RulesTest {
  /** Set to true, writes the table into the page. */
  private static final String WRITE_PROPERTY = "vbn.conformance.writeTable";

  private static final Path PAGE = Path.of("..", "docs", "CONFORMANCE.md");
  private static final String START = "| Rule | What it says | Tests |\n|---|---|---|\n";

  @Test
  void everyRuleHasATest() {
    for (Rule rule : Rule.values()) {
      assertTrue(!rule.tests().isEmpty(), () -> rule + " has no test; expected one at least");
    }
  }

  @Test
  void everyTestHasARuleAndIsFinal() {
    int tests = 0;
    for (Class<?> family : VbnConformance.class.getDeclaredClasses()) {
      for (Method method : family.getSuperclass().getDeclaredMethods()) {
        if (AnnotationSupport.isAnnotated(method, Testable.class)) {
          tests++;
          assertTrue(
              Rule.checkedBy(method).isPresent(),
              () -> method + " holds no rule; expected @Checks");
          assertTrue(Modifier.isFinal(method.getModifiers()), () -> method + " is not final");
        }
      }
    }
    int held =
        Arrays.stream(Rule.values()).mapToInt(rule -> rule.tests().size()).sum();
    assertEquals(held, tests, "tests of the kit, and those that rules name");
  }

  /** A version that the changelog has, so that a rule that is new is not said to be old. */
  @Test
  void everyRuleIsSinceAVersion() throws IOException {
    String changelog = Files.readString(Path.of("..", "CHANGELOG.md"));
    for (Rule rule : Rule.values()) {
      assertTrue(
          changelog.contains("\n## " + rule.since() + ".0"),
          () ->
              rule + " is said to be since " + rule.since() + ", which CHANGELOG.md does not have");
    }
  }

  @Test
  void everyRuleHasANumberOfItsOwn() {
    Set<Integer> numbers = new HashSet<>();
    for (Rule rule : Rule.values()) {
      assertTrue(numbers.add(rule.number()), () -> rule + " has a number that was taken");
    }
  }

  @Test
  void thePageListsThem() throws IOException {
    String page = Files.readString(PAGE);
    int start = page.indexOf(START);
    assertTrue(start >= 0, "docs/CONFORMANCE.md has no table that starts with " + START);
    int end = page.indexOf("\n\n", start) + 1;
    String expected = START + Arrays.stream(Rule.values()).map(RulesTest::row).collect(joining());
    if (Boolean.getBoolean(WRITE_PROPERTY)) {
      Files.writeString(PAGE, page.substring(0, start) + expected + page.substring(end));
      return;
    }
    assertEquals(
        expected,
        page.substring(start, end),
        "table of docs/CONFORMANCE.md; -D" + WRITE_PROPERTY + "=true writes it");
  }

  private static String row(Rule rule) {
    String tests = rule.tests().stream().map(test -> "`" + test + "`").collect(joining(", "));
    return "| " + rule.id() + " | " + rule.sentence() + " | " + tests + " |\n";
  }
}
