package dev.vbn.conformance.offender;

import dev.vbn.conformance.offender.Call.Pass;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.function.Predicate;

/** When a faulty backend goes wrong: where an optimised one would go another way. */
@SuppressWarnings("ImmutableEnumChecker") // the predicates hold nothing
enum Condition {
  ALWAYS(call -> true),
  IN_STATISTICS(call -> call.pass() == Pass.STATISTICS),
  IN_REFERENCE_PASS(call -> call.pass() == Pass.REFERENCE),
  IN_FORWARD(call -> call.pass() == Pass.FORWARD),
  IN_BACKWARD(call -> call.pass() == Pass.BACKWARD),
  IN_BACKWARD_OF_REFERENCE_PASS(call -> call.pass() == Pass.REFERENCE_BACKWARD),
  IN_REFERENCE_GRADIENT(call -> call.pass() == Pass.REFERENCE_GRADIENT),
  WHOLE_BATCH(call -> call.scope() == Scope.BATCH),
  PER_EXAMPLE(call -> call.scope() == Scope.EXAMPLE),
  REFERENCE_ONLY(call -> call.scope() == Scope.NONE),
  ONE_FEATURE(call -> call.geometry().features() == 1),
  FEATURES_8(call -> call.geometry().features() == 8),
  FEATURES_10(call -> call.geometry().features() == 10),
  FEATURES_12(call -> call.geometry().features() == 12),
  FEATURES_17(call -> call.geometry().features() == 17),
  FEATURES_100(call -> call.geometry().features() == 100),
  FEATURES_ABOVE_16_BITS(call -> call.geometry().features() > 65535),
  ONE_POSITION(call -> call.geometry().positions() == 1),
  ODD_POSITIONS(call -> call.geometry().positions() > 1 && call.geometry().positions() % 2 == 1),
  POSITIONS_16K_LESS_1(call -> call.geometry().positions() % 16 == 15),
  POSITIONS_16K_AND_1(
      call -> call.geometry().positions() > 1 && call.geometry().positions() % 16 == 1),
  POSITIONS_ABOVE_16_BITS(call -> call.geometry().positions() > 65535),
  POSITIONS_ABOVE_18_BITS(call -> call.geometry().positions() > 1 << 18),
  ONE_EXAMPLE(call -> call.geometry().batch() == 1),
  EXAMPLES_ABOVE_16_BITS(call -> call.geometry().batch() > 65535),
  CHANNELS_LAST(call -> call.geometry().after() == 1 && call.geometry().before() > 1),
  CHANNELS_MIDDLE(call -> call.geometry().after() > 1 && call.geometry().before() > 1),
  FLOAT32(call -> call.dtype() == DType.FLOAT32),
  FLOAT64(call -> call.dtype() == DType.FLOAT64),
  EPSILON_NOT_THE_DEFAULT(call -> call.epsilon() != 0 && call.epsilon() != 1e-5),
  GAMMA_ABSENT(call -> call.gamma() == null),
  GAMMA_NEGATIVE(call -> call.gamma() != null && call.gamma().get(0) < 0),
  GAMMA_ZERO(call -> call.gamma() != null && call.gamma().get(0) == 0),
  ATTACHED(call -> call.attached()),
  DETACHED(call -> !call.attached()),
  SUPPLIED(call -> call.supplied()),
  IN_PLACE(call -> call.inPlace()),
  ON_A_VIEW(call -> call.view()),
  FIRST_CALL(call -> call.callsBefore() == 0),
  LATER_CALLS(call -> call.callsBefore() > 0);

  private final Predicate<Call> predicate;

  Condition(Predicate<Call> predicate) {
    this.predicate = predicate;
  }

  boolean holds(Call call) {
    return predicate.test(call);
  }
}
