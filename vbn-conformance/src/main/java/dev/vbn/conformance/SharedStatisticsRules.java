package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.GradientSums;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Live statistics that several workers share, each with a part of the batch. */
abstract class SharedStatisticsRules extends ConditionalCases {
  SharedStatisticsRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SHARED_STATISTICS)
  final void partsOfABatchGetTogetherWhatTheWholeGets(Variant variant) {
    if (variant.scope() == Scope.BATCH) {
      eachCase(variant, (subject, c, dtype) -> {
        checkParts(subject, c, dtype, 1);
        checkParts(subject, c, dtype, 2);
        checkParts(subject, withoutUpstreamOfTheFirst(c, 2), dtype, 2);
      });
    } else {
      eachCase(variant, (subject, c, dtype) -> checkUnshared(subject, c, dtype));
    }
  }

  /** The gradients of the other part reach this one all the same. */
  private static Case withoutUpstreamOfTheFirst(Case c, int examples) {
    double[] upstream = c.upstream().toDoubles();
    Arrays.fill(upstream, 0, examples * upstream.length / (int) c.x().shape()[0], 0);
    return c.withLive(c.x(), HostTensor.of(upstream, c.upstream().shape()));
  }

  /**
   * Statistics of each example, or none, do not concern the other workers: the parts give the
   * whole.
   */
  private static <T> void checkUnshared(Subject<T> subject, Case c, DType dtype) {
    Expected expected = subject.expect(c, dtype);
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> whole = made.layer(c, dtype);
      VirtualBatchNorm<T> ofReference = whole.withMask(c.referenceMask());
      try (ReferenceStatistics<T> statistics =
          ofReference.referenceStatistics(made.of(c.reference(), dtype))) {
        for (Part part : parts(c, 1)) {
          T x = made.of(part.c().x(), dtype);
          VirtualBatchNorm<T> layer = whole.withMask(part.c().mask());
          ReferenceMoments live = layer.liveMoments(x);
          assertThrows(
              IllegalStateException.class,
              () -> layer.forward(x, statistics, live),
              "shared statistics of a variant that has none");
          agree(
              subject,
              "output",
              part(expected.of(Quantity.OUTPUT), c, part),
              subject.output(layer, x, statistics),
              dtype,
              c.describe() + ", in two parts, in " + dtype);
        }
      }
    }
  }

  private record Part(Case c, int from, int to) {}

  /** The first examples and the rest, each with its part of the mask. */
  private static List<Part> parts(Case c, int first) {
    int examples = (int) c.x().shape()[0];
    List<Part> parts = new ArrayList<>();
    for (int[] bounds : new int[][] {{0, first}, {first, examples}}) {
      int[] own = new int[bounds[1] - bounds[0]];
      Arrays.setAll(own, i -> bounds[0] + i);
      Padding padding = c.padding();
      if (own.length == 0 || (padding != null && padding.ofExamples(own).countedElements() == 0)) {
        continue;
      }
      HostTensor x = Layouts.examples(c.x(), own);
      Case part = c.withLive(x, Layouts.examples(c.upstream(), own));
      parts.add(new Part(
          padding == null
              ? part
              : part.padded(
                  padding.ofExamples(own, x.shape(), c.config().featureAxis()),
                  c.referencePadding(),
                  Junk.NAN.value),
          bounds[0],
          bounds[1]));
    }
    return parts;
  }

  private static <T> void checkParts(Subject<T> subject, Case c, DType dtype, int first) {
    Expected expected = subject.expect(c, dtype);
    int features = c.config().features();
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    double[] dr = new double[c.reference().size()];
    String of = c.describe() + ", in two parts, " + first + " examples first, in " + dtype;
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> whole = made.layer(c, dtype);
      T r = made.of(c.reference(), dtype);
      VirtualBatchNorm<T> ofReference = whole.withMask(c.referenceMask());
      try (ReferenceStatistics<T> statistics = ofReference.referenceStatistics(r)) {
        List<Part> parts = parts(c, first);
        ReferenceMoments live = ReferenceMoments.empty(features);
        for (Part part : parts) {
          T x = made.of(part.c().x(), dtype);
          live = live.merge(whole.withMask(part.c().mask()).liveMoments(x));
        }
        List<GradientSums> ofParts = new ArrayList<>();
        for (Part part : parts) {
          ofParts.add(whole
              .withMask(part.c().mask())
              .gradientSums(
                  made.of(part.c().x(), dtype),
                  statistics,
                  live,
                  made.of(part.c().upstream(), dtype)));
        }
        GradientSums sums = ofParts.stream().reduce(GradientSums::merge).orElseThrow();
        for (Part part : parts) {
          VirtualBatchNorm<T> layer = whole.withMask(part.c().mask());
          T x = made.of(part.c().x(), dtype);
          T dy = made.of(part.c().upstream(), dtype);
          try (Output<T> y = layer.forward(x, statistics, live);
              Gradients<T> gradients = layer.backward(x, statistics, live, dy, sums);
              Output<T> reached = ofReference.referenceGradient(r, statistics, gradients)) {
            agree(
                subject,
                "output",
                part(expected.of(Quantity.OUTPUT), c, part),
                subject.host(y.output()),
                dtype,
                of);
            agree(
                subject,
                "dx",
                part(expected.of(Quantity.DX), c, part),
                subject.host(gradients.dx()),
                dtype,
                of);
            add(subject.host(gradients.dgamma()), dgamma);
            add(subject.host(gradients.dbeta()), dbeta);
            add(subject.host(reached.output()), dr);
          }
        }
      }
    }
    DType type = dtype.parameterType();
    agree(
        subject, "dgamma", expected.of(Quantity.DGAMMA), HostTensor.of(dgamma, features), type, of);
    agree(subject, "dbeta", expected.of(Quantity.DBETA), HostTensor.of(dbeta, features), type, of);
    // Each part's was rounded to the batch's type.
    Values twice = expected.of(Quantity.DREFERENCE).scaled(2);
    agree(subject, "dreference", twice, HostTensor.of(dr, c.reference().shape()), dtype, of);
  }

  private static Values part(Values whole, Case c, Part part) {
    int size = whole.expected().length / (int) c.x().shape()[0];
    return new Values(
        Arrays.copyOfRange(whole.expected(), part.from() * size, part.to() * size),
        Arrays.copyOfRange(whole.scale(), part.from() * size, part.to() * size));
  }

  private static void add(HostTensor of, double[] to) {
    for (int i = 0; i < to.length; i++) {
      to[i] += of.get(i);
    }
  }
}
