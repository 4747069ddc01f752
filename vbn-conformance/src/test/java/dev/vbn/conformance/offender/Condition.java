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
  IN_DOUBLE_BACKWARD(call -> call.pass() == Pass.DOUBLE_BACKWARD),
  IN_REFERENCE_GRADIENT(call -> call.pass() == Pass.REFERENCE_GRADIENT),

  WHOLE_BATCH(call -> call.scope() == Scope.BATCH),
  PER_EXAMPLE(call -> call.scope() == Scope.EXAMPLE),
  REFERENCE_ONLY(call -> call.scope() == Scope.NONE),
  WEIGHT_BELOW_A_THIRD(call -> call.weight() > 0 && call.weight() < 1. / 3),
  WEIGHT_ABOVE_A_THIRD(call -> call.weight() > 1. / 3 && call.weight() < 1),
  ATTACHED(call -> call.attached()),
  DETACHED(call -> !call.attached()),

  RANK_2(call -> call.x().shape().length == 2),
  RANK_3(call -> call.x().shape().length == 3),
  RANK_4(call -> call.x().shape().length == 4),
  RANK_5(call -> call.x().shape().length == 5),
  CHANNELS_LAST(call -> call.geometry().after() == 1 && call.geometry().before() > 1),
  CHANNELS_MIDDLE(call -> call.geometry().after() > 1 && call.geometry().before() > 1),

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
  POSITIONS_16K(call -> call.geometry().positions() % 16 == 0),
  POSITIONS_16K_AND_1(
      call -> call.geometry().positions() > 1 && call.geometry().positions() % 16 == 1),
  POSITIONS_ABOVE_10_BITS(call -> call.geometry().positions() > 1024),
  POSITIONS_ABOVE_16_BITS(call -> call.geometry().positions() > 65535),
  POSITIONS_ABOVE_18_BITS(call -> call.geometry().positions() > 1 << 18),
  ONE_EXAMPLE(call -> call.geometry().batch() == 1),
  EXAMPLES_ABOVE_32(call -> call.geometry().batch() > 32),
  EXAMPLES_ABOVE_16_BITS(call -> call.geometry().batch() > 65535),
  ONE_ELEMENT_IN_A_GROUP(call -> call.group() == 1),

  FLOAT32(call -> call.dtype() == DType.FLOAT32),
  FLOAT64(call -> call.dtype() == DType.FLOAT64),
  FLOAT16(call -> call.dtype() == DType.FLOAT16),
  BFLOAT16(call -> call.dtype() == DType.BFLOAT16),

  EPSILON_NOT_THE_DEFAULT(call -> call.epsilon() != 0 && call.epsilon() != 1e-5),
  EPSILON_SMALL(call -> call.epsilon() != 0 && call.epsilon() < 1e-8),
  EPSILON_LARGE(call -> call.epsilon() > 0.1),
  GAMMA_ABSENT(call -> call.parameters() && call.gamma() == null),
  GAMMA_NEGATIVE(call -> call.gamma() != null && call.gamma().get(0) < 0),
  GAMMA_ZERO(call -> call.gamma() != null && call.gamma().get(0) == 0),
  BETA_ABSENT(call -> call.parameters() && call.beta() == null),
  MAGNITUDE_ABOVE_1E10(call -> call.magnitude() > 1e10),
  MAGNITUDE_BELOW_1E_10(call -> call.magnitude() < 1e-10),
  NOT_FINITE(call -> !call.finite()),

  MASKED(call -> call.geometry().counted() != null),
  MASKED_EXAMPLES(call -> call.geometry().countedExamples() < call.geometry().batch()),

  NEW_RESULT(call -> call.result() == null),
  SUPPLIED(call -> call.result() != null && !call.over(0) && !call.over(1)),
  OVER_X(call -> call.over(0)),
  OVER_UPSTREAM(call -> call.over(1)),
  X_A_VIEW(call -> Call.view(call.x())),
  UPSTREAM_A_VIEW(call -> call.inputs().size() > 1 && Call.view(call.inputs().get(1))),
  PARAMETER_A_VIEW(call -> Call.view(call.gamma()) || Call.view(call.beta())),
  STATISTICS_A_VIEW(call -> call.statistics().stream().anyMatch(Call::view)),
  RESULT_A_VIEW(call -> Call.view(call.result())),

  FIRST_CALL(call -> call.before() == 0),
  LATER_CALLS(call -> call.before() > 0),
  EVERY_SECOND_CALL(call -> call.before() % 2 == 1),
  CALLS_ABOVE_1000(call -> call.before() > 1000),
  OTHER_CALLS_IN_PROGRESS(call -> call.inProgress() > 0),
  OTHER_BACKENDS_OPEN(call -> call.openBackends() > 1);

  private final Predicate<Call> predicate;

  Condition(Predicate<Call> predicate) {
    this.predicate = predicate;
  }

  boolean holds(Call call) {
    return predicate.test(call);
  }
}
