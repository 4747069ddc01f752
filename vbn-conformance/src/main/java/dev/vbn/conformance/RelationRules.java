package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Outputs of one call against those of another: of a larger batch, with other companions,
 * transposed, permuted.
 */
abstract class RelationRules extends Rules {
  RelationRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @EnumSource(names = {"PER_EXAMPLE", "BATCH", "POOLED"})
  @Checks(Rule.BATCH_NORM)
  final void oneLiveExampleIsBatchNormOverReferenceAndExample(Variant variant) {
    holds(() -> checkLiveRowsOfBatchNorm(variant, new long[] {1, 3, 5}, new long[] {6, 3, 5}));
  }

  @Test
  @Checks(Rule.BATCH_NORM)
  final void pooledIsBatchNormOverReferenceAndLiveBatch() {
    holds(() -> {
      checkLiveRowsOfBatchNorm(Variant.POOLED, new long[] {4, 3}, new long[] {6, 3});
      checkLiveRowsOfBatchNorm(Variant.POOLED, new long[] {4, 3, 5}, new long[] {7, 3, 5});
      checkLiveRowsOfBatchNorm(Variant.POOLED, new long[] {7, 3, 2, 2}, new long[] {1, 3, 2, 2});
      checkLiveRowsOfBatchNorm(Variant.POOLED, new long[] {500, 3, 9}, new long[] {1, 3, 9});
    });
  }

  /** The reference pass over the concatenation is batch norm, and its last rows the live batch. */
  private void checkLiveRowsOfBatchNorm(Variant variant, long[] live, long[] reference) {
    Case c = new Samples(27).of(VbnConfig.of(3).withVariant(variant), live, reference);
    HostTensor both = Layouts.concatenate(c.reference(), c.x());
    Case together = c.withReference(both, both);
    double[] all =
        subject().run(together, DType.FLOAT32).of(Quantity.REFERENCE_OUTPUT).toDoubles();
    double[] expected = Arrays.copyOfRange(all, c.reference().size(), all.length);
    Values scales = subject().expect(c, DType.FLOAT32).of(Quantity.OUTPUT);
    subject()
        .tolerance
        .assertClose(
            "live output of " + c.describe(),
            new Values(expected, scales.scale()).scaled(2),
            subject().run(c, DType.FLOAT32).of(Quantity.OUTPUT),
            DType.FLOAT32,
            "It equals the live rows of batch norm over reference and live batch.");
  }

  /** Neither how many companions an example has nor what they are, in any layout. */
  @ParameterizedTest
  @EnumSource(names = {"PER_EXAMPLE", "REFERENCE_ONLY"})
  @Checks(Rule.COMPANIONS)
  final void anExampleDoesNotDependOnItsCompanions(Variant variant) {
    holds(() -> {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      for (DType dtype : subject().dtypes()) {
        for (long positions : new long[] {1, 5, 1025}) {
          checkCompanions(config, dtype, new long[] {17, 3, positions}, new long[] {5, 3, 4});
          checkCompanions(
              config.withFeatureAxis(-1), dtype, new long[] {17, positions, 3}, new long[] {5, 4, 3
              });
        }
        checkCompanions(
            config.withFeatureAxis(2), dtype, new long[] {9, 7, 3, 33}, new long[] {2, 5, 3, 1});
      }
    });
  }

  private void checkCompanions(VbnConfig config, DType dtype, long[] live, long[] reference) {
    Case c = new Samples(28).of(config, live, reference);
    Case others = new Samples(29).of(config, live, reference);
    Computed all = right(subject(), c, dtype);
    int last = (int) c.liveGeometry().batch() - 1;
    for (int example : new int[] {0, last / 2, last}) {
      Computed alone = subject()
          .run(
              c.withLive(Layouts.examples(c.x(), example), Layouts.examples(c.upstream(), example)),
              dtype);
      Computed among = subject()
          .run(
              c.withLive(
                  Layouts.replaceExample(others.x(), example, c.x()),
                  Layouts.replaceExample(others.upstream(), example, c.upstream())),
              dtype);
      for (Quantity each : List.of(Quantity.OUTPUT, Quantity.DX)) {
        String what =
            each.label() + " of example " + example + ", " + c.describe() + ", in " + dtype;
        HostTensor expected = Layouts.examples(all.of(each), example);
        String hint = "Statistics of this variant never see another example of the batch.";
        assertSameBits(what + ", alone", expected, alone.of(each), hint);
        assertSameBits(
            what + ", among others", expected, Layouts.examples(among.of(each), example), hint);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LAYOUT)
  final void channelsLastIsChannelsFirstTransposed(Variant variant) {
    holds(() -> {
      for (long[] shape : new long[][] {{4, 3, 7, 5}, {4, 5, 5, 5}, {5, 5, 5, 5}}) {
        VbnConfig first = VbnConfig.of((int) shape[1]).withVariant(variant);
        Case c = new Samples(30).of(first, shape, shape);
        Case transposed = new Case(
            first.withFeatureAxis(-1),
            Layouts.moveAxis(c.x(), 1, 3),
            Layouts.moveAxis(c.reference(), 1, 3),
            c.gamma(),
            c.beta(),
            Layouts.moveAxis(c.upstream(), 1, 3),
            Layouts.moveAxis(c.referenceUpstream(), 1, 3));
        for (Quantity each : List.of(Quantity.OUTPUT, Quantity.DX)) {
          HostTensor known = right(subject(), c, DType.FLOAT32).of(each);
          Values scales = subject().expect(transposed, DType.FLOAT32).of(each);
          subject()
              .tolerance
              .assertClose(
                  each.label() + ", " + variant.label() + " of channels-last "
                      + Arrays.toString(shape),
                  scales.of(Layouts.moveAxis(known, 1, 3)).scaled(2),
                  subject().run(transposed, DType.FLOAT32).of(each),
                  DType.FLOAT32,
                  "Statistics, gamma and beta go along the feature axis, whatever its place.");
        }
      }
    });
  }

  /** Where the examples are not in front, kernels get other calls, and each example may be one. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LAYOUT)
  final void theBatchMayBeOnAnotherAxis(Variant variant) {
    holds(() -> {
      if (variant == Variant.PER_EXAMPLE && !subject().has(Capability.CONDITIONAL)) {
        throw new DeclaredAbsent("CONDITIONAL is declared absent; its refusal is checked apart");
      }
      VbnConfig config =
          VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
      Case c = new Samples(32).of(config, new long[] {4, 3, 6}, new long[] {7, 3, 5});
      for (DType dtype : subject().dtypes()) {
        checkAxes(subject(), c.roundedTo(dtype), dtype, 2, config.withAxes(1, 2));
        checkAxes(subject(), c.roundedTo(dtype), dtype, 1, config.withAxes(1, 0));
      }
    });
  }

  /** With one axis moved to the front. */
  private static <T> void checkAxes(
      Subject<T> subject, Case c, DType dtype, int front, VbnConfig config) {
    Computed computed = new Computed();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c.withConfig(config), dtype);
      T reference = made.of(Layouts.moveAxis(c.reference(), front, 0), dtype);
      T x = made.of(Layouts.moveAxis(c.x(), front, 0), dtype);
      T upstream = made.of(Layouts.moveAxis(c.upstream(), front, 0), dtype);
      try (ReferenceOutput<T> pass = layer.reference(reference);
          Output<T> live = layer.forward(x, pass.statistics());
          Gradients<T> gradients = layer.backward(x, pass.statistics(), upstream);
          Output<T> reached = layer.referenceGradient(reference, pass.statistics(), gradients)) {
        Map<Quantity, T> results = Map.of(
            Quantity.REFERENCE_OUTPUT, pass.output(),
            Quantity.OUTPUT, live.output(),
            Quantity.DX, gradients.dx(),
            Quantity.DREFERENCE, reached.output());
        results.forEach((quantity, tensor) ->
            computed.put(quantity, Layouts.moveAxis(subject.host(tensor), 0, front)));
        computed.put(Quantity.DGAMMA, subject.host(gradients.dgamma()));
        computed.put(Quantity.DBETA, subject.host(gradients.dbeta()));
      }
    }
    computed
        .all()
        .forEach((quantity, result) -> subject.tolerance.assertClose(
            quantity.label() + ", batch axis " + config.batchAxis() + " and feature axis "
                + config.featureAxis() + ", else as " + c.describe() + ", in " + dtype,
            subject.expect(c, dtype).of(quantity),
            result,
            quantity.roundedTo(dtype),
            "Statistics, gamma and beta go along the feature axis, whatever its place."));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.PERMUTATION)
  final void permutingExamplesPermutesOutputs(Variant variant) {
    holds(() -> {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case c = new Samples(31).of(config, new long[] {5, 3, 4}, new long[] {4, 3, 4});
      int[] order = {3, 0, 4, 1, 2};
      Case permuted =
          c.withLive(Layouts.examples(c.x(), order), Layouts.examples(c.upstream(), order));
      HostTensor known = right(subject(), c, DType.FLOAT32).of(Quantity.OUTPUT);
      subject()
          .tolerance
          .assertClose(
              variant.label() + " of permuted examples",
              subject()
                  .expect(permuted, DType.FLOAT32)
                  .of(Quantity.OUTPUT)
                  .of(Layouts.examples(known, order))
                  .scaled(2),
              subject().run(permuted, DType.FLOAT32).of(Quantity.OUTPUT),
              DType.FLOAT32,
              "The order of examples carries no meaning.");
    });
  }
}
