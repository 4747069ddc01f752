package dev.vbn.dl4j;

import dev.vbn.ReferenceMoments;
import org.jspecify.annotations.Nullable;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.nd4j.shade.jackson.databind.util.StdConverter;

/**
 * Reference statistics as the JSON and YAML of a network have them, with every bit. A count that is
 * not known is null.
 */
final class SavedReference {
  @JsonProperty
  private final double[] mean;

  @JsonProperty
  private final double[] variance;

  @JsonProperty
  private final @Nullable Long examples;

  @JsonProperty
  private final @Nullable Long elements;

  @JsonCreator
  SavedReference(
      @JsonProperty(value = "mean", required = true) double[] mean,
      @JsonProperty(value = "variance", required = true) double[] variance,
      @JsonProperty("examples") @Nullable Long examples,
      @JsonProperty("elements") @Nullable Long elements) {
    this.mean = mean;
    this.variance = variance;
    this.examples = examples;
    this.elements = elements;
  }

  static final class Writer extends StdConverter<ReferenceMoments, SavedReference> {
    @Override
    public SavedReference convert(ReferenceMoments moments) {
      return new SavedReference(
          moments.mean(),
          moments.variance(),
          moments.knowsExamples() ? moments.examples() : null,
          moments.knowsElements() ? moments.elements() : null);
    }
  }

  static final class Reader extends StdConverter<SavedReference, ReferenceMoments> {
    @Override
    public ReferenceMoments convert(SavedReference saved) {
      if (saved.examples == null) {
        return ReferenceMoments.of(saved.mean, saved.variance);
      }
      return saved.elements == null
          ? ReferenceMoments.of(saved.mean, saved.variance, saved.examples)
          : ReferenceMoments.of(saved.mean, saved.variance, saved.examples, saved.elements);
    }
  }
}
