package dev.vbn.conformance;

import static java.util.Comparator.comparing;

import java.lang.reflect.Method;
import java.util.Collection;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * What a backend must obey, one sentence per rule. Numbers stay with their rule: {@code 1xx}
 * discovery, {@code 2xx} statistics, {@code 3xx} forward, {@code 4xx} gradients, {@code 5xx}
 * numerics, {@code 6xx} capabilities, {@code 7xx} lifecycle and threads, {@code 8xx} conversion,
 * {@code 9xx} masks.
 */
public enum Rule {
  /** Rule 101. */
  FOUND_BY_NAME(
      101,
      "ServiceLoader finds the provider under its name, and tensors are of the type it names."),
  /** Rule 102. */
  PROBE_IS_A_VALUE(
      102, "Probing answers the same each time, with a description, and never throws."),
  /** Rule 104. */
  PROMISED_CAPABILITIES(104, "The backend declares exactly the capabilities promised for it."),

  /** Rule 201. */
  BIASED_VARIANCE(201, "The variance divides by the number of elements, not by one less."),
  /** Rule 202. */
  STATISTICS(202, "Mean and variance of a feature are taken over all examples and positions."),
  /** Rule 203. */
  SPLIT(203, "Any split of the reference batch into chunks gives the same statistics."),

  /** Rule 301. */
  FORWARD(301, "A live batch is normalised by its own statistics mixed with the reference's."),
  /** Rule 306. */
  REFERENCE_PASS(306, "The reference pass is batch normalization in training."),
  /** Rule 307. */
  EPSILON(307, "Epsilon is added to the variance inside the root."),
  /** Rule 308. */
  MIXED_STATISTICS(
      308, "Live statistics are taken over the scope: of the batch, or of each example."),
  /** Rule 309. */
  SCALE_AND_CENTER(309, "Gamma multiplies, beta is added after it, and either may be absent."),
  /** Rule 310. */
  BATCH_NORM(310, "POOLED, and one live example, give batch norm over reference and live batch."),
  /** Rule 311. */
  COMPANIONS(
      311, "PER_EXAMPLE and REFERENCE_ONLY: no bit of an output or of dx depends on companions."),
  /** Rule 312. */
  LAYOUT(312, "Channels-last is channels-first transposed, also where axes are equally long."),
  /** Rule 313. */
  PERMUTATION(313, "Permuting examples permutes outputs."),
  /** Rule 314. */
  RESULT_FORM(314, "Results have the shapes and types that the SPI states."),

  /** Rule 401. */
  INPUT_GRADIENT(401, "dx = gamma/s*(dy - w/n*(A + xh*B)), also through the live statistics."),
  /** Rule 402. */
  GAMMA_GRADIENT(402, "dgamma = sum(dy*xh) over examples and positions."),
  /** Rule 403. */
  BETA_GRADIENT(403, "dbeta = sum(dy) over examples and positions."),
  /** Rule 404. */
  REFERENCE_GRADIENT(404, "Attached, the reference batch gets the gradient of its statistics."),
  /** Rule 405. */
  DETACHED(405, "Attached or detached, output and the other gradients have the same bits."),
  /** Rule 406. */
  REFERENCE_PASS_GRADIENT(406, "The reference pass has batch norm's backward, or a constant's."),
  /** Rule 407. */
  SLOPES(407, "Every gradient is the slope of the backend's own forward pass."),
  /** Rule 408. */
  DOUBLE_BACKWARD(408, "Second gradients are those of sum(dx*v) + dgamma*vgamma + dbeta*vbeta."),
  /** Rule 409. */
  EXAMPLE_PARAMETERS(
      409, "Gamma and beta of each example are that example's, and so are their gradients."),
  /** Rule 410. */
  SHARED_STATISTICS(
      410, "Parts of a live batch that share its statistics get what the whole batch gets."),
  /** Rule 411. */
  CONSTANT_STATISTICS(411, "With live statistics as constants dx = gamma/s*dy."),

  /** Rule 501. */
  OFFSET(501, "An offset of a million deviations changes nothing."),
  /** Rule 502. */
  CONSTANTS(502, "Constant input gives finite output: beta, plus the mean's distance."),
  /** Rule 503. */
  LARGEST(503, "The largest numbers do not overflow."),
  /** Rule 504. */
  NOT_A_NUMBER(504, "NaN shows in its group, and in no other."),
  /** Rule 505. */
  INFINITY(505, "Infinity shows in its group, and in no other."),
  /** Rule 506. */
  SMALLEST(506, "The smallest numbers are neither flushed nor divided by zero."),
  /** Rule 508. */
  SIZE(508, "Results do not depend on size: 2^18 positions, 2^16 features or examples, and more."),

  /** Rule 601. */
  DECLARED(601, "What is declared is there, and what is declared absent is refused."),

  /** Rule 701. */
  INPUTS_UNCHANGED(701, "No argument changes but a supplied output or dx."),
  /** Rule 702. */
  OWN_OUTPUT(702, "Results are tensors of their own, whatever is called or released later."),
  /** Rule 703. */
  SAME_BITS(703, "The same call gives the same bits, whatever came before."),
  /** Rule 704. */
  THREADS(704, "Threads that share a backend, a layer and its statistics get the same bits."),
  /** Rule 705. */
  SUPPLIED_OUTPUT(705, "A supplied output, also the input itself, gets every element."),
  /** Rule 706. */
  CLOSED(706, "Closing is harmless when repeated, as is closing later what a backend gave."),
  /** Rule 707. */
  STRIDES(
      707, "Views, strides and offsets are read as the elements they show, argument by argument."),
  /** Rule 708. */
  SUPPLIED_DX(708, "A tensor supplied for dx, also x or dy itself, gets every element."),
  /** Rule 709. */
  RELEASE(709, "Releasing a tensor again frees no other."),
  /** Rule 710. */
  APART(710, "Backends of one provider compute and close apart from each other."),
  /** Rule 711. */
  OVERLAP(
      711, "A supplied output that overlaps x is refused, or right; one apart from it is right."),
  /** Rule 712. */
  WALK(712, "Whatever was made, overwritten and freed before, results are those of the arguments."),
  /** Rule 713. */
  ALIASES(713, "One tensor in the place of several arguments gives the bits that several give."),

  /** Rule 801. */
  ROUND_TRIP(801, "Values are rounded to nearest even on the way in, and keep their order."),
  /** Rule 802. */
  COPIES(802, "Host tensors are copied on the way in and on the way out."),
  /** Rule 803. */
  PLAIN_STATISTICS(803, "Statistics from plain arrays normalise as those of the batch."),

  /** Rule 901. */
  MASKED_STATISTICS(901, "Under a mask statistics are of what counts, of chunks too."),
  /** Rule 902. */
  MASKED_OUTPUT(902, "What counts is normalised as if the rest were not there; the rest is 0."),
  /** Rule 903. */
  MASKED_GRADIENT(903, "Gradients come of what counts, and are 0 elsewhere."),
  /** Rule 904. */
  MASKED_LEAVE_NO_TRACE(
      904, "No bit of a result depends on what is masked, and none on a mask of everything."),
  /** Rule 905. */
  LENGTHS(905, "Lengths give what the mask of the same positions gives."),
  /** Rule 906. */
  MASK_REFUSED(906, "A mask that does not fit the batch, or leaves nothing of it, is refused.");

  /** Families in the order in which an author gets them right, each resting on those before. */
  private static final List<Integer> FAMILIES = List.of(8, 1, 2, 3, 4, 6, 9, 7, 5);

  /** What the other rules of a family rest on, where that is not the lowest number. */
  private static final Set<Rule> BASES = EnumSet.of(STATISTICS, REFERENCE_PASS);

  private final int number;
  private final String since;
  private final String sentence;

  Rule(int number, String sentence) {
    this(number, "0.1", sentence);
  }

  Rule(int number, String since, String sentence) {
    this.number = number;
    this.since = since;
    this.sentence = sentence;
  }

  /** The rule that a test of the kit checks. */
  public static Optional<Rule> checkedBy(Method test) {
    return Optional.ofNullable(test.getAnnotation(Checks.class)).map(Checks::value);
  }

  /**
   * Where to begin with rules that fail, and how to go on: from each family the rule that the
   * others rest on, in the order in which the families rest on each other.
   */
  public static List<Rule> orderOfWork(Collection<Rule> failed) {
    return FAMILIES.stream()
        .flatMap(family -> failed.stream()
            .filter(rule -> rule.number / 100 == family)
            .min(comparing((Rule rule) -> !BASES.contains(rule)).thenComparingInt(Rule::number))
            .stream())
        .toList();
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

  /** The version of the kit that brought it, for instance {@code 0.1}. */
  public String since() {
    return since;
  }

  /** What it says. */
  public String sentence() {
    return sentence;
  }
}
