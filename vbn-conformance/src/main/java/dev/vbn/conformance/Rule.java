package dev.vbn.conformance;

import java.lang.reflect.Method;
import java.util.List;
import java.util.Optional;

/**
 * What a backend must obey, one sentence a rule. Numbers stay with their rule: {@code 1xx}
 * discovery, {@code 2xx} statistics, {@code 3xx} forward, {@code 4xx} gradients, {@code 5xx}
 * numerics, {@code 6xx} validation and refusal, {@code 7xx} lifecycle and threads, {@code 8xx}
 * conversion.
 */
public enum Rule {
  /** Rule 101. */
  FOUND_BY_NAME(101, "ServiceLoader finds the provider under its name, which obeys the grammar."),
  /** Rule 102. */
  PROBE_IS_A_VALUE(
      102, "Probing answers the same each time, with a description, and never throws."),
  /** Rule 103. */
  TENSOR_TYPE(103, "Every tensor is of the type that the provider names."),
  /** Rule 104. */
  PROMISED_CAPABILITIES(104, "The backend declares exactly the capabilities promised for it."),

  /** Rule 201. */
  BIASED_VARIANCE(201, "The variance divides by the number of elements, not by one less."),
  /** Rule 202. */
  STATISTICS(202, "Mean and variance of a feature are taken over all examples and positions."),
  /** Rule 203. */
  SPLIT(203, "Any split of the reference batch into chunks gives the same statistics."),
  /** Rule 204. */
  STATISTICS_STAY(204, "Live calls leave the reference statistics as they are."),
  /** Rule 205. */
  LONG_ROWS(205, "A row of 2^22 elements costs the statistics no accuracy."),

  /** Rule 301. */
  LIVE_BATCH(301, "LIVE_BATCH mixes statistics of the live batch with weight 1/(N+1)."),
  /** Rule 302. */
  BATCH(302, "BATCH mixes statistics of the live batch with weight 1/(R+1)."),
  /** Rule 303. */
  PER_EXAMPLE(303, "PER_EXAMPLE mixes statistics of each example with weight 1/(R+1)."),
  /** Rule 304. */
  POOLED(304, "POOLED mixes statistics of the live batch with weight N*P/(N*P+R*Pr)."),
  /** Rule 305. */
  REFERENCE_ONLY(305, "REFERENCE_ONLY normalises by the reference statistics alone."),
  /** Rule 306. */
  REFERENCE_PASS(306, "The reference pass is batch normalization in training."),
  /** Rule 307. */
  EPSILON(307, "Epsilon is added to the variance inside the root."),
  /** Rule 308. */
  MIXED_STATISTICS(308, "The mixed statistics returned are those that normalised."),
  /** Rule 309. */
  SCALE_AND_CENTER(309, "Gamma multiplies, beta is added after it, and either may be absent."),
  /** Rule 310. */
  LEAVE_ONE_OUT(310, "One live example gives batch norm over reference and example."),
  /** Rule 311. */
  COMPANIONS(
      311, "PER_EXAMPLE and REFERENCE_ONLY: no bit of an output or of dx depends on companions."),
  /** Rule 312. */
  LAYOUT(312, "Channels-last is channels-first transposed, also where axes are equally long."),
  /** Rule 313. */
  PERMUTATION(313, "Permuting examples permutes outputs."),
  /** Rule 314. */
  RESULT_FORM(314, "Outputs and statistics have the shapes and types that the SPI states."),

  /** Rule 401. */
  INPUT_GRADIENT(401, "dx = gamma/s*(dy - w/n*(A + xh*B)), also through the live statistics."),
  /** Rule 402. */
  GAMMA_GRADIENT(402, "dgamma = sum(dy*xh) over examples and positions."),
  /** Rule 403. */
  BETA_GRADIENT(403, "dbeta = sum(dy) over examples and positions."),
  /** Rule 404. */
  REFERENCE_GRADIENT(404, "Attached, the reference batch gets the gradient of its statistics."),
  /** Rule 405. */
  DETACHED(405, "Detached, the reference statistics have no gradient, and dx is the same."),
  /** Rule 406. */
  REFERENCE_PASS_GRADIENT(406, "The reference pass has batch norm's backward, or a constant's."),
  /** Rule 407. */
  SLOPES(407, "Every gradient is the slope of the backend's own forward pass."),
  /** Rule 408. */
  GRADIENT_FORM(408, "Gradients have the shapes and types that the SPI states."),

  /** Rule 501. */
  OFFSET(501, "An offset of a million deviations changes nothing."),
  /** Rule 502. */
  CONSTANTS(502, "Constant input gives finite output: beta, plus the mean's distance."),
  /** Rule 503. */
  LARGEST(503, "The largest finite floats do not overflow."),
  /** Rule 504. */
  NOT_A_NUMBER(504, "NaN shows in its group, and in no other."),
  /** Rule 505. */
  INFINITY(505, "Infinity shows in its group, and in no other."),
  /** Rule 506. */
  SMALLEST(506, "Subnormal input is neither flushed nor divided by zero."),
  /** Rule 507. */
  ANY_SHAPE(507, "Random shapes, offsets and scales agree with the oracle."),
  /** Rule 508. */
  SIZE(508, "Results do not depend on size: 2^22 positions, 70000 features or examples."),

  /** Rule 601. */
  BAD_SHAPES(601, "Bad shapes and types are refused in the words of the API."),
  /** Rule 602. */
  ABSENT_TYPE(602, "A type declared absent is refused as documented, a declared one is there."),
  /** Rule 603. */
  ABSENT_OUTPUT(603, "A supplied output or dx, declared absent, is refused and left unchanged."),

  /** Rule 701. */
  INPUTS_UNCHANGED(701, "No argument changes but a supplied output or dx."),
  /** Rule 702. */
  OWN_OUTPUT(702, "Results are tensors of their own, which later calls leave alone."),
  /** Rule 703. */
  SAME_BITS(703, "The same call gives the same bits, whatever came before."),
  /** Rule 704. */
  THREADS(704, "Threads that share a backend get the same bits."),
  /** Rule 705. */
  SUPPLIED_OUTPUT(705, "A supplied output, also the input itself, gets every element."),
  /** Rule 706. */
  CLOSED(706, "Closing is harmless when repeated, as is closing results later, and others go on."),
  /** Rule 707. */
  STRIDES(707, "Views, strides and offsets are read as the elements they show."),
  /** Rule 708. */
  SUPPLIED_DX(708, "A tensor supplied for dx, also x or dy itself, gets every element."),
  /** Rule 709. */
  RELEASE(709, "Releasing a tensor again is harmless to every other."),
  /** Rule 710. */
  OUTLIVING(710, "A tensor outlives its backend as declared, or reading it is refused."),

  /** Rule 801. */
  ROUND_TRIP(801, "Values are rounded to nearest even on the way in, and keep their order."),
  /** Rule 802. */
  COPIES(802, "Host tensors are copied on the way in and on the way out."),
  /** Rule 803. */
  PLAIN_STATISTICS(803, "Statistics from plain arrays normalise as those of the batch.");

  private final int number;
  private final String sentence;

  Rule(int number, String sentence) {
    this.number = number;
    this.sentence = sentence;
  }

  /** The rule that a test of the kit checks. */
  public static Optional<Rule> checkedBy(Method test) {
    return Optional.ofNullable(test.getAnnotation(Checks.class)).map(Checks::value);
  }

  /** Names of the kit's tests that hold this rule. */
  public List<String> tests() {
    return Rules.tests().entrySet().stream()
        .filter(test -> test.getValue() == this)
        .map(test -> test.getKey().getName())
        .toList();
  }

  /** For instance 201. */
  public int number() {
    return number;
  }

  /** For instance {@code VBN-201}. */
  public String id() {
    return "VBN-" + number;
  }

  /** What it says. */
  public String sentence() {
    return sentence;
  }
}
