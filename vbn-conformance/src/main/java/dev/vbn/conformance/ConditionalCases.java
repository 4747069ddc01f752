package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
import dev.vbn.conformance.Samples.Spread;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;

/** Rules on passes whose sums and lines are requested separately. */
abstract class ConditionalCases extends Rules {
  private static final String HINT = "See Kernels.sums and Kernels.write.";

  ConditionalCases(VbnConformance kit) {
    super(kit);
  }

  private void requireConditional() {
    if (!subject().has(Capability.CONDITIONAL)) {
      throw new DeclaredAbsent("CONDITIONAL is declared absent; its refusal is checked apart");
    }
  }

  /** Each path of an optimised kernel; reference and live batch have equally many examples. */
  private List<Case> cases(Variant variant, DType dtype) {
    boolean narrow = dtype.precision() < 24;
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    VbnConfig last = config.withFeatureAxis(-1);
    Samples samples = new Samples(94);
    List<Case> cases = new ArrayList<>(List.of(
        samples.of(config, new long[] {7, 3}, new long[] {7, 3}),
        samples.of(
            config,
            new long[] {5, 3, 5},
            new long[] {5, 3, 9},
            narrow ? Spread.NEAR : Spread.APART),
        samples.of(config, new long[] {4, 3, 16}, new long[] {4, 3, 1}),
        samples.of(config.withEpsilon(0.5), new long[] {3, 3, 1031}, new long[] {3, 3, 64}),
        samples.of(
            last,
            new long[] {4, 131, 3},
            new long[] {4, 7, 3},
            narrow ? Spread.NEAR : Spread.SCALED),
        samples.of(config.withFeatureAxis(2), new long[] {3, 2, 3, 67}, new long[] {3, 2, 3, 5}),
        samples.of(of(config, 100), new long[] {3, 100, 2}, new long[] {3, 100, 2}),
        samples.of(of(last, 20), new long[] {5, 3, 20}, new long[] {5, 9, 20})));
    if (dtype == DType.FLOAT32) { // whatever the type, a long row is walked alike
      cases.add(samples.of(of(config, 1), new long[] {2, 1, 66_001}, new long[] {2, 1, 70}));
    }
    if (subject().has(Capability.MASK)) {
      for (Case each : List.of(cases.get(0), cases.get(1), cases.get(4), cases.get(5))) {
        int axis = each.config().featureAxis();
        cases.add(each.padded(
            samples.padding(Kind.SCATTERED, each.x().shape(), axis),
            samples.padding(Kind.SCATTERED, each.reference().shape(), axis),
            Junk.NAN.value));
      }
    }
    return cases;
  }

  private static VbnConfig of(VbnConfig config, int features) {
    return new VbnConfig(
        features,
        config.epsilon(),
        config.batchAxis(),
        config.featureAxis(),
        config.lastFeatureAxis(),
        config.variant(),
        config.referenceGradient());
  }

  interface CaseCheck {
    void check(Subject<?> subject, Case c, DType dtype);
  }

  final void eachCase(Variant variant, CaseCheck check) {
    holds(() -> {
      requireConditional();
      for (DType dtype : subject().dtypes()) {
        for (Case c : cases(variant, dtype)) {
          check.check(subject(), c.roundedTo(dtype), dtype);
        }
      }
    });
  }

  static void agree(
      Subject<?> subject, String what, Values expected, HostTensor actual, DType type, String of) {
    subject.tolerance.assertClose(what + ", for " + of, expected, actual, type, HINT);
  }
}
