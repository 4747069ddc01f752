package dev.vbn.state;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The names under which a file has the parts of a layer: VBN's own, those of the founding module,
 * or the user's, after a prefix that tells the layers of a network apart.
 *
 * <p>The parts are {@code gamma}, {@code beta}, {@code reference_mean}, {@code reference_variance}
 * (or {@code reference_mean_square} in its place), and the texts {@code reference_examples},
 * {@code reference_elements}, {@code variant}, {@code epsilon}, {@code feature_axis},
 * {@code last_feature_axis}, {@code batch_axis} and {@code reference_gradient}.
 */
public final class StateNames {
  /** The parts of a layer, each with the other names that it is known by. */
  private static final Map<String, List<String>> PARTS = parts();

  /** Those of the parts that are a value per feature. */
  private static final Set<String> TENSORS =
      Set.of("gamma", "beta", "reference_mean", "reference_variance", "reference_mean_square");

  private final String prefix;
  private final Map<String, String> names;

  private StateNames(String prefix, Map<String, String> names) {
    this.prefix = prefix;
    this.names = names;
  }

  private static Map<String, List<String>> parts() {
    Map<String, List<String>> parts = new LinkedHashMap<>();
    parts.put("gamma", List.of());
    parts.put("beta", List.of());
    parts.put("reference_mean", List.of("ref_mean"));
    parts.put("reference_variance", List.of("ref_variance", "ref_var"));
    parts.put("reference_mean_square", List.of("ref_mean_square", "ref_mean_sq"));
    parts.put("reference_examples", List.of());
    parts.put("reference_elements", List.of());
    parts.put("variant", List.of());
    parts.put("epsilon", List.of("eps"));
    parts.put("feature_axis", List.of());
    parts.put("last_feature_axis", List.of());
    parts.put("batch_axis", List.of());
    parts.put("reference_gradient", List.of());
    return parts;
  }

  /** The known names, without a prefix. */
  public static StateNames known() {
    return new StateNames("", Map.of());
  }

  /** These names after a prefix, such as {@code vbn1.}. */
  public StateNames withPrefix(String prefix) {
    return new StateNames(
        requireNonNull(prefix, "prefix is null; expected what names begin with"), names);
  }

  /**
   * These names with another one for one part.
   *
   * @param part one of the parts above
   * @param name its name in the file, after the prefix
   * @throws IllegalArgumentException if there is no such part
   */
  public StateNames with(String part, String name) {
    requireNonNull(part, "part is null; expected one of " + PARTS.keySet());
    requireNonNull(name, "name is null; expected the name of " + part + " in the file");
    if (!PARTS.containsKey(part)) {
      throw new IllegalArgumentException(
          "part is '" + part + "'; expected one of " + String.join(", ", PARTS.keySet()));
    }
    Map<String, String> changed = new LinkedHashMap<>(names);
    changed.put(part, name);
    return new StateNames(prefix, changed);
  }

  /** Where a part may stand in a file, the likeliest first. */
  List<String> of(String part) {
    String given = names.get(part);
    if (given != null) {
      return List.of(prefix + given);
    }
    List<String> candidates = new ArrayList<>();
    candidates.add(prefix + part);
    for (String other : requireNonNull(PARTS.get(part))) {
      candidates.add(prefix + other);
    }
    return candidates;
  }

  /** Whether the user has named this part, so that it has to be there. */
  boolean isGiven(String part) {
    return names.containsKey(part);
  }

  String prefix() {
    return prefix;
  }

  /** Where a text may stand: after the layer's prefix, or without one for all layers. */
  List<String> ofText(String part) {
    List<String> candidates = new ArrayList<>(of(part));
    candidates.add(names.getOrDefault(part, part));
    return candidates;
  }

  /** Where the number of features may stand, for a layer in which nothing else tells it. */
  String ofFeatures() {
    return prefix + "features";
  }

  /** Whether what has this name may be a part. */
  boolean mayBe(String name) {
    return name.equals(ofFeatures())
        || PARTS.keySet().stream()
            .anyMatch(part -> (TENSORS.contains(part) ? of(part) : ofText(part)).contains(name));
  }
}
