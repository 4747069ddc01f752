package dev.vbn.conformance.offender;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.conformance.Rule;
import java.io.OutputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every offender fails at the rule that it breaks, with words that help, and at no other but those
 * that look at the same numbers.
 */
@TestInstance(Lifecycle.PER_CLASS)
class OffendersTest {
  static final List<Offender> OFFENDERS = Offender.all();

  private final PrintStream out = System.out;
  private final List<Future<KitRun>> runs = new ArrayList<>();
  private final ExecutorService threads =
      Executors.newFixedThreadPool(Math.min(4, Runtime.getRuntime().availableProcessors()));

  /**
   * All at once, as many as there are processors. Each prints its census, which is of no interest
   * to anybody here.
   */
  @BeforeAll
  void run() {
    System.setOut(new PrintStream(OutputStream.nullOutputStream(), false, UTF_8));
    for (int i = 0; i < OFFENDERS.size(); i++) {
      Map<String, String> number = Map.of(OffenderKit.OFFENDER, Integer.toString(i));
      runs.add(threads.submit(() -> KitRun.of(OffenderKit.class, number)));
    }
  }

  @AfterAll
  void stop() {
    threads.shutdownNow();
    System.setOut(out);
  }

  static IntStream numbers() {
    return IntStream.range(0, OFFENDERS.size());
  }

  @ParameterizedTest
  @MethodSource("numbers")
  void failsAtItsOwnRuleAndAtNoOther(int number) throws Exception {
    Offender offender = OFFENDERS.get(number);
    KitRun run = runs.get(number).get();
    Set<Rule> others = new HashSet<>(run.failures.keySet());
    assertTrue(others.remove(offender.rule()), () -> "'" + offender + "' passes its rule");
    others.removeAll(offender.alsoFails());
    assertEquals(
        Set.of(),
        others,
        () -> "other rules at which '" + offender + "' fails, by " + run.failures);
    assertTrue(
        run.failures.get(offender.rule()).stream()
            .anyMatch(message -> message.startsWith(offender.rule().id() + ": ")
                && message.contains(offender.hint())),
        () -> "message of '" + offender + "' is " + run.failures.get(offender.rule())
            + "; expected it to contain '" + offender.hint() + "'");
    assertEquals(List.of(), run.failuresBeside, "failures outside the tests");
  }

  @Test
  void everyRuleHasAnOffender() {
    Set<Rule> broken = EnumSet.noneOf(Rule.class);
    OFFENDERS.forEach(offender -> broken.add(offender.rule()));
    assertEquals(EnumSet.allOf(Rule.class), broken, "rules that an offender breaks");
  }

  @Test
  void noTwoOffendersAreTheSame() {
    Set<String> faults = new HashSet<>();
    OFFENDERS.forEach(offender -> assertTrue(faults.add(offender.fault()), offender::fault));
  }
}
