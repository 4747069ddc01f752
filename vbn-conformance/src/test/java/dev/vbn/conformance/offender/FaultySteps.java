package dev.vbn.conformance.offender;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** What a fault does to the numbers of a group: statistics, mixing, normalising, elements, gradients. */
abstract class FaultySteps extends PlainBackend {
  /** What a fault keeps during a call. */
  static final class Running {
    boolean faulty;
    Set<Condition> conditions = Set.of();
    int groups;
    double @Nullable [] groupBefore;
    boolean nanSeen;
    DType dtype = DType.FLOAT32;
    boolean even;
    int depth;

    /** Elements of the group that is computed, those too that do not count. */
    int allOfGroup;
  }

  /** One for all backends: hundreds of them make each look-up a search. */
  private static final ThreadLocal<Running> RUNNING = ThreadLocal.withInitial(Running::new);

  final Fault fault;
  final Condition condition;
  final Trace trace;
  final ThreadLocal<Running> running = RUNNING;

  // What a fault keeps of the call before.
  private final Map<Integer, double[]> statisticsBefore = new ConcurrentHashMap<>();
  private volatile double lastGamma = Double.NaN;
  private volatile double lastReference = Double.NaN;

  FaultySteps(Fault fault, Condition condition, Trace trace, Set<Capability> capabilities) {
    super(capabilities);
    this.fault = fault;
    this.condition = condition;
    this.trace = trace;
  }

  boolean does(Fault one) {
    return fault == one && running.get().faulty;
  }

  /** Remembers that the fault comes to bear, and says whether it may. */
  boolean alters() {
    if (trace.rehearsal) {
      trace.bears(running.get().conditions);
      running.get().conditions = Set.of(); // once is enough
    } else {
      trace.altered.set(true);
    }
    return !trace.rehearsal;
  }

  /** The wrong number, remembered; in a rehearsal the right one. */
  double wrong(double right, double wrong) {
    double rounding = switch (running.get().dtype) {
      case FLOAT64 -> 1e-6;
      case FLOAT32 -> 1e-2;
      case FLOAT16, BFLOAT16 -> 5e-2;
    };
    return wrong(right, wrong, rounding * Math.abs(right));
  }

  double wrong(double right, double wrong, double rounding) {
    boolean close = Math.abs(wrong - right) <= rounding && rounding < Double.POSITIVE_INFINITY;
    boolean same = Double.compare(right, wrong) == 0 || close || right == wrong;
    if (!same) {
      alters();
    } else if (trace.rehearsal && close && right != wrong) {
      trace.differing.addAll(running.get().conditions);
    }
    return trace.rehearsal ? right : wrong;
  }

  // Statistics and mixing.

  @Override
  double[] liveStatistics(double[] x) {
    double[] right = super.liveStatistics(x);
    if (!running.get().faulty || x.length == 0) {
      return right;
    }
    Running call = running.get();
    double[] wrong = switch (fault) {
      case VARIANCE_UNBIASED ->
        x.length == 1 ? right : new double[] {right[0], right[1] * x.length / (x.length - 1)};
      case VARIANCE_AS_MEAN_OF_SQUARES -> {
        double squares = sum(Arrays.stream(x).map(each -> each * each).toArray()) / x.length;
        yield new double[] {right[0], Math.max(0, squares - right[0] * right[0])};
      }
      case LAST_ELEMENT_NOT_SUMMED ->
        x.length == 1 ? right : super.liveStatistics(Arrays.copyOf(x, x.length - 1));
      case FIRST_ELEMENT_SUMMED_TWICE -> {
        double[] more = Arrays.copyOf(x, x.length + 1);
        more[x.length] = x[0];
        yield super.liveStatistics(more);
      }
      case SUMS_IN_32_BITS -> narrow(x);
      case MASKED_COUNTED_IN_MEAN -> new double[] {right[0] * x.length / call.allOfGroup, right[1]};
      case STATISTICS_OF_THE_GROUP_BEFORE -> call.groupBefore == null ? right : call.groupBefore;
      case STATISTICS_OF_THE_CALL_BEFORE -> {
        double[] before = statisticsBefore.put(call.groups, right);
        yield before == null ? right : before;
      }
      case OVERFLOW_CLIPPED -> new double[] {right[0], Math.min(right[1], Double.MAX_VALUE)};
      case NAN_SKIPPED -> {
        double[] numbers = Arrays.stream(x).filter(each -> !Double.isNaN(each)).toArray();
        yield numbers.length == 0 ? right : super.liveStatistics(numbers);
      }
      default -> right;
    };
    call.groups++;
    call.groupBefore = right;
    return new double[] {
      wrong(right[0], wrong[0], 1e-2 * Math.sqrt(right[1])), wrong(right[1], wrong[1])
    };
  }

  private static double[] narrow(double[] x) {
    float sum = 0;
    float squares = 0;
    for (double each : x) {
      sum += (float) each;
      squares += (float) each * (float) each;
    }
    float mean = sum / x.length;
    return new double[] {mean, Math.max(0, squares / x.length - mean * mean)};
  }

  @Override
  double sum(double[] terms) {
    double right = super.sum(terms);
    if (!does(Fault.SUMS_IN_ANOTHER_ORDER_EACH_TIME) || running.get().even) {
      return right;
    }
    double sum = 0;
    for (int i = terms.length - 1; i >= 0; i--) {
      sum += terms[i];
    }
    boolean hidden = running.get().dtype != DType.FLOAT64 && (float) right == (float) sum;
    return hidden ? right : wrong(right, sum, 0);
  }

  @Override
  Mixed mix(double mr, double vr, double ma, double va, double w) {
    Mixed right = super.mix(mr, vr, ma, va, w);
    Mixed wrong = right;
    if (does(Fault.WEIGHT_OF_ONE_EXAMPLE_MORE)) {
      wrong = super.mix(mr, vr, ma, va, w / (1 + w));
    } else if (does(Fault.WEIGHTS_SWAPPED)) {
      wrong = super.mix(mr, vr, ma, va, 1 - w);
    } else if (does(Fault.DISTANCE_OF_MEANS_LEFT_OUT)) {
      wrong = new Mixed(right.d(), right.m(), (1 - w) * vr + w * va);
    }
    return new Mixed(
        right.d(),
        wrong(right.m(), wrong.m(), 1e-2 * Math.sqrt(right.v())),
        wrong(right.v(), wrong.v()));
  }

  @Override
  double statistic(Strided ofFeatures, int feature) {
    double right = super.statistic(ofFeatures, feature);
    if (does(Fault.REFERENCE_OF_THE_NEXT_FEATURE)) {
      return wrong(right, super.statistic(ofFeatures, (feature + 1) % ofFeatures.size()));
    }
    if (feature == 0) {
      double before = lastReference;
      lastReference = right;
      if (does(Fault.REFERENCE_OF_THE_CALL_BEFORE) && !Double.isNaN(before)) {
        return wrong(right, before);
      }
    }
    return right;
  }

  // Normalising.

  @Override
  double deviation(double v, double epsilon) {
    double right = super.deviation(v, epsilon);
    if (does(Fault.EPSILON_OUTSIDE_THE_ROOT)) {
      return wrong(right, Math.sqrt(v) + epsilon);
    }
    if (does(Fault.EPSILON_LEFT_OUT)) {
      return wrong(right, Math.sqrt(v));
    }
    return does(Fault.EPSILON_THE_DEFAULT) ? wrong(right, super.deviation(v, 1e-5)) : right;
  }

  @Override
  double normalized(double x, double m, double s) {
    double right = super.normalized(x, m, s);
    if (!does(Fault.CENTRED_AFTER_SCALING) || running.get().dtype == DType.FLOAT64) {
      return right;
    }
    return wrong(right, (float) (x / s) - (float) (m / s), 1e-2 * (1 + Math.abs(right)));
  }

  /** What no tolerance of the kit bears. */
  private static double roundingOf(DType dtype) {
    return Math.scalb(1000., -dtype.precision());
  }

  @Override
  double output(double xh, double gamma, double beta) {
    double right = super.output(xh, gamma, beta);
    if (does(Fault.GAMMA_SQUARED)) {
      return wrong(right, gamma * gamma * xh + beta);
    }
    return does(Fault.BETA_SCALED) ? wrong(right, gamma * (xh + beta)) : right;
  }

  @Override
  double gamma(@Nullable Strided gamma, int feature) {
    double right = super.gamma(gamma, feature);
    double before = lastGamma;
    lastGamma = right;
    if (gamma == null || !running.get().faulty) {
      return right;
    }
    return switch (fault) {
      case GAMMA_LEFT_OUT -> wrong(right, 1);
      case GAMMA_OF_THE_NEXT_FEATURE -> wrong(right, gamma.get((feature + 1) % gamma.size()));
      case GAMMA_OF_THE_CALL_BEFORE ->
        feature > 0 || Double.isNaN(before) ? right : wrong(right, before);
      case GAMMA_WITHOUT_SIGN -> wrong(right, Math.abs(right));
      case GAMMA_ZERO_TAKEN_FOR_ABSENT -> right == 0 ? wrong(right, 1) : right;
      default -> right;
    };
  }

  @Override
  double beta(@Nullable Strided beta, int feature) {
    double right = super.beta(beta, feature);
    if (beta == null) {
      return right;
    }
    if (does(Fault.BETA_OF_THE_NEXT_FEATURE)) {
      return wrong(right, beta.get((feature + 1) % beta.size()));
    }
    return does(Fault.BETA_LEFT_OUT) ? wrong(right, 0) : right;
  }

  // Elements.

  @Override
  boolean @Nullable [] counts(Geometry geometry) {
    boolean[] right = super.counts(geometry);
    if (right == null || !running.get().faulty) {
      return right;
    }
    int positions = (int) geometry.positions();
    int features = (int) geometry.features();
    boolean[] wrong = right.clone();
    for (int i = 0; i < right.length; i++) {
      wrong[i] = switch (fault) {
        case MASK_LEFT_OUT -> true;
        case MASK_INVERTED -> !right[i];
        case MASK_OF_THE_EXAMPLE_BEFORE -> right[(i + right.length - positions) % right.length];
        case MASK_OF_THE_FIRST_EXAMPLE -> right[i % positions];
        case MASK_OF_THE_NEXT_POSITION -> right[i / positions * positions + (i + 1) % positions];
        case MASK_OF_ANOTHER_FEATURE -> right[(int) ((long) i * features % right.length)];
        default -> right[i];
      };
    }
    return Arrays.equals(right, wrong) || !alters() ? right : wrong;
  }

  @Override
  double masked(double before) {
    double right = super.masked(before);
    if (does(Fault.MASKED_NOT_WRITTEN)) {
      return wrong(right, before);
    }
    return does(Fault.MASKED_WRITTEN_AS_ONE) ? wrong(right, 1) : right;
  }

  /** 0 or NaN. */
  private static double timesZero(Group masked, Strided tensor) {
    return Arrays.stream(masked.gather(tensor)).map(each -> 0 * each).sum();
  }

  @Override
  double[] gather(Group group, Strided tensor) {
    double[] right = super.gather(group, tensor);
    running.get().allOfGroup = group.examples() * (int) group.geometry().positions();
    if (does(Fault.MASKED_TIMES_ZERO) && right.length > 0 && group.counts() != null) {
      right[0] = wrong(right[0], right[0] + timesZero(group.masked(), tensor));
    }
    if (!running.get().faulty) {
      return right;
    }
    double[] wrong = right.clone();
    switch (fault) {
      case INDEX_OF_16_BITS -> group.forEach((at, index) -> wrong[at] = tensor.get(index & 0xffff));
      case POSITION_OF_16_BITS -> Arrays.setAll(wrong, at -> right[at & 0xffff]);
      case VIEW_READ_AS_DENSE -> group.forEach((at, index) -> wrong[at] = tensor.data()[index]);
      case SUBNORMALS_FLUSHED ->
        Arrays.setAll(wrong, at -> Math.abs(right[at]) < smallest(tensor.dtype()) ? 0 : right[at]);
      case INFINITY_CLIPPED ->
        Arrays.setAll(
            wrong,
            at -> Double.isInfinite(right[at])
                ? Math.copySign(Float.MAX_VALUE, right[at])
                : right[at]);
      default -> {
        return right;
      }
    }
    Arrays.setAll(wrong, i -> wrong(right[i], wrong[i]));
    return wrong;
  }

  private static double smallest(DType dtype) {
    return dtype == DType.FLOAT64 ? Double.MIN_NORMAL : Float.MIN_NORMAL;
  }

  @Override
  void scatter(Group group, double[] values, Strided tensor) {
    if (running.get().faulty) {
      spoil(values, tensor.dtype());
    }
    super.scatter(group, values, tensor);
  }

  private void spoil(double[] values, DType dtype) {
    Running call = running.get();
    int last = values.length - 1;
    switch (fault) {
      case NAN_LOST ->
        Arrays.setAll(values, i -> Double.isNaN(values[i]) ? wrong(values[i], 0) : values[i]);
      case NAN_SPREADS -> {
        boolean before = call.nanSeen;
        call.nanSeen |= Arrays.stream(values).anyMatch(Double::isNaN);
        if (before) {
          Arrays.setAll(values, i -> wrong(values[i], Double.NaN));
        }
      }
      case ROUNDED_TO_8_BITS ->
        Arrays.setAll(
            values,
            i -> wrong(
                values[i],
                DType.BFLOAT16.round(values[i]),
                Math.max(1e-3, 4 * roundingOf(dtype) / 1000) * Math.max(1, Math.abs(values[i]))));
      case ROUNDED_TO_24_BITS ->
        Arrays.setAll(
            values,
            i -> wrong(
                values[i],
                (float) values[i],
                roundingOf(dtype) * Math.max(1, Math.abs(values[i]))));
      case NEIGHBOURS_SWAPPED -> {
        if (last > 0) {
          double right = values[last];
          values[last] = wrong(right, values[last - 1]);
          values[last - 1] = Double.compare(values[last], right) == 0 ? values[last - 1] : right;
        }
      }
      default -> {}
    }
  }

  // Gradients.

  @Override
  double inputGradient(
      double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
    double right = super.inputGradient(dy, xh, gamma, s, w, n, a, b);
    if (does(Fault.GRADIENT_WITHOUT_SUM_OF_UPSTREAM)) {
      return wrong(right, super.inputGradient(dy, xh, gamma, s, w, n, 0, b));
    }
    if (does(Fault.GRADIENT_WITHOUT_SUM_WITH_INPUT)) {
      return wrong(right, super.inputGradient(dy, xh, gamma, s, w, n, a, 0));
    }
    if (does(Fault.GRADIENT_WITHOUT_WEIGHT)) {
      return wrong(right, super.inputGradient(dy, xh, gamma, s, w == 0 ? 0 : 1, n, a, b));
    }
    if (does(Fault.MASKED_COUNTED_IN_GRADIENT)) {
      return wrong(right, super.inputGradient(dy, xh, gamma, s, w, running.get().allOfGroup, a, b));
    }
    return does(Fault.GRADIENT_COUNTS_ONE_ELEMENT_MORE)
        ? wrong(right, super.inputGradient(dy, xh, gamma, s, w, n + 1, a, b))
        : right;
  }

  @Override
  double add(double sum, double ofGroup) {
    double right = super.add(sum, ofGroup);
    return does(Fault.SUMS_OF_THE_LAST_GROUP) ? wrong(right, ofGroup) : right;
  }

  @Override
  double meanGradient(double w, double d, double dm, double dv) {
    double right = super.meanGradient(w, d, dm, dv);
    if (does(Fault.DMR_LEFT_OUT)) {
      return wrong(right, 0);
    }
    return does(Fault.DMR_WITHOUT_DISTANCE_OF_MEANS)
        ? wrong(right, super.meanGradient(w, 0, dm, dv))
        : right;
  }

  @Override
  double varianceGradient(double w, double dv) {
    double right = super.varianceGradient(w, dv);
    if (does(Fault.DVR_DOUBLED)) {
      return wrong(right, 2 * right);
    }
    return does(Fault.DVR_WITHOUT_WEIGHT) ? wrong(right, dv) : right;
  }

  @Override
  double reached(double deviation, double dm, double dv, long elements) {
    double right = super.reached(deviation, dm, dv, elements);
    if (!running.get().faulty) {
      return right;
    }
    return switch (fault) {
      case REACHED_WITHOUT_MEAN -> wrong(right, super.reached(deviation, 0, dv, elements));
      case REACHED_WITHOUT_VARIANCE -> wrong(right, super.reached(deviation, dm, 0, elements));
      case REACHED_COUNTS_ONE_ELEMENT_MORE ->
        wrong(right, super.reached(deviation, dm, dv, elements + 1));
      case MASKED_COUNTED_IN_REFERENCE ->
        wrong(
            right, super.reached(deviation, dm, dv, Math.max(elements, running.get().allOfGroup)));
      default -> right;
    };
  }

  // Gradients of gradients.

  @Override
  double secondProduct(double d, double share, double a, double b, double v, double w) {
    double right = super.secondProduct(d, share, a, b, v, w);
    return does(Fault.SECOND_PRODUCT_WITHOUT_SUMS) ? wrong(right, d) : right;
  }

  @Override
  double secondThroughMean(double vgamma, double k, double a, double b, double v, double w) {
    double right = super.secondThroughMean(vgamma, k, a, b, v, w);
    return does(Fault.SECOND_WITHOUT_MEAN) ? wrong(right, 0) : right;
  }

  @Override
  double secondThroughDeviation(
      double vgamma, double k, double b, double w, double factor, double q) {
    double right = super.secondThroughDeviation(vgamma, k, b, w, factor, q);
    if (does(Fault.SECOND_WITHOUT_DEVIATION)) {
      return wrong(right, right - factor * q);
    }
    return does(Fault.SECOND_SQUARE_COUNTED_ONCE) ? wrong(right, right + k * b * w) : right;
  }

  @Override
  double secondUpstream(double v, double xh, double factor, double cross, double vbeta, double kv) {
    double right = super.secondUpstream(v, xh, factor, cross, vbeta, kv);
    return does(Fault.SECOND_UPSTREAM_WITHOUT_SUM) ? wrong(right, right + kv) : right;
  }

  @Override
  double vgamma(@Nullable Strided vgamma, int feature) {
    double right = super.vgamma(vgamma, feature);
    return does(Fault.SECOND_VGAMMA_LEFT_OUT) ? wrong(right, 0) : right;
  }

  @Override
  double vbeta(@Nullable Strided vbeta, int feature) {
    double right = super.vbeta(vbeta, feature);
    return does(Fault.SECOND_VBETA_LEFT_OUT) ? wrong(right, 0) : right;
  }
}
