package dev.vbn.cli;

import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * One digit in live batches of different make-up, normalised in every way: by batch normalization
 * and by each variant. The digit is the first example of every batch.
 */
final class CompanionStudy {
  /** Examples of the reference batch: the first ones of the data. */
  static final int REFERENCE = 128;

  /** Companions of the digit in the live batches that have any. */
  static final int COMPANIONS = 15;

  /** The digit that is watched. */
  static final int DIGIT = 0;

  private final Digits digits;
  private final HostTensor reference;
  private final int probe;
  private final List<LiveBatch> batches;

  /** A way to normalise: a variant, or batch normalization where it is null. */
  record Method(String label, @Nullable Variant variant) {
    static final List<Method> ALL = Stream.concat(
            Stream.of(new Method("batch norm", null)),
            Stream.of(Variant.values()).map(variant -> new Method(variant.label(), variant)))
        .toList();
  }

  /** A live batch by the digits it holds. */
  record LiveBatch(String label, String companions, List<Integer> digits) {}

  /** Outputs by method, then by live batch. */
  record Outputs(List<List<HostTensor>> tensors) {
    /** The watched digit's pixels. */
    double[] digit(int method, int batch) {
      HostTensor output = tensors.get(method).get(batch);
      return IntStream.range(0, Digits.PIXELS).mapToDouble(output::get).toArray();
    }

    /** Root mean square of how the watched digit differs between two live batches. */
    double movement(int method, int batch, int other) {
      double[] one = digit(method, batch);
      double[] two = digit(method, other);
      double sum = 0;
      for (int i = 0; i < one.length; i++) {
        sum += (one[i] - two[i]) * (one[i] - two[i]);
      }
      return Math.sqrt(sum / one.length);
    }

    /** The largest change of each of the watched digit's pixels between any two live batches. */
    double[] movements(int method) {
      double[] least = digit(method, 0);
      double[] most = least.clone();
      for (int batch = 1; batch < tensors.get(method).size(); batch++) {
        double[] digit = digit(method, batch);
        for (int i = 0; i < digit.length; i++) {
          least[i] = Math.min(least[i], digit[i]);
          most[i] = Math.max(most[i], digit[i]);
        }
      }
      Arrays.setAll(most, i -> most[i] - least[i]);
      return most;
    }

    /** The largest of {@link #movements}. */
    double largestMovement(int method) {
      return Arrays.stream(movements(method)).max().orElseThrow();
    }
  }

  CompanionStudy(Digits digits) {
    this.digits = digits;
    this.reference = digits.batch(IntStream.range(0, REFERENCE).boxed().toList());
    List<Integer> live = IntStream.range(REFERENCE, digits.count()).boxed().toList();
    List<Integer> same = live.stream()
        .filter(index -> digits.label(index) == DIGIT)
        .limit(COMPANIONS + 1L)
        .toList();
    this.probe = same.get(0);
    List<Integer> mixed = Stream.concat(
            Stream.of(probe), live.stream().filter(index -> index != probe))
        .limit(COMPANIONS + 1L)
        .toList();
    this.batches = List.of(
        new LiveBatch("among zeros", COMPANIONS + " other zeros", same),
        new LiveBatch("mixed", COMPANIONS + " digits of all kinds", mixed),
        new LiveBatch("alone", "none", List.of(probe)));
  }

  Digits digits() {
    return digits;
  }

  /** Index of the watched digit. */
  int probe() {
    return probe;
  }

  List<LiveBatch> batches() {
    return batches;
  }

  /** Normalises every live batch in every way. */
  Outputs normalize(VbnBackend<HostTensor> backend, DType dtype) {
    List<List<HostTensor>> tensors = new ArrayList<>();
    for (Method method : Method.ALL) {
      VbnConfig config = VbnConfig.of(Digits.PIXELS);
      if (method.variant != null) {
        config = config.withVariant(method.variant);
      }
      try (VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
          ReferenceStatistics<HostTensor> statistics =
              layer.referenceStatistics(reference.to(dtype))) {
        List<HostTensor> outputs = new ArrayList<>();
        for (LiveBatch batch : batches) {
          HostTensor x = digits.batch(batch.digits).to(dtype);
          outputs.add(method.variant == null ? batchNorm(layer, x) : live(layer, x, statistics));
        }
        tensors.add(outputs);
      }
    }
    return new Outputs(tensors);
  }

  /** Batch normalization in training is the reference pass: the batch by its own statistics. */
  private static HostTensor batchNorm(VirtualBatchNorm<HostTensor> layer, HostTensor x) {
    try (ReferenceOutput<HostTensor> pass = layer.reference(x)) {
      return layer.backend().toHost(pass.output());
    }
  }

  private static HostTensor live(
      VirtualBatchNorm<HostTensor> layer,
      HostTensor x,
      ReferenceStatistics<HostTensor> statistics) {
    try (Output<HostTensor> live = layer.forward(x, statistics)) {
      return layer.backend().toHost(live.output());
    }
  }
}
