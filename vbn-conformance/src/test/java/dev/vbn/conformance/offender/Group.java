package dev.vbn.conformance.offender;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The elements that share one mean and one variance: those of a feature of some neighbouring examples
 * that count.
 *
 * @param counts by example, position before the feature and position behind it; null where all do
 * @param index of the group's statistics among those of all groups
 */
record Group(
    Geometry geometry,
    boolean @Nullable [] counts,
    int index,
    int feature,
    int firstExample,
    int examples) {

  static List<Group> of(Geometry geometry, boolean @Nullable [] counts, Scope scope) {
    int batch = (int) geometry.batch();
    int features = (int) geometry.features();
    int count = scope == Scope.EXAMPLE ? batch : 1;
    List<Group> groups = new ArrayList<>();
    for (int i = 0; i < count * features; i++) {
      int examples = batch / count;
      groups.add(new Group(geometry, counts, i, i % features, i / features * examples, examples));
    }
    return groups;
  }

  int size() {
    int all = examples * (int) geometry.positions();
    if (counts == null) {
      return all;
    }
    int first = firstExample * (int) geometry.positions();
    int size = 0;
    for (int i = first; i < first + all; i++) {
      size += counts[i] ? 1 : 0;
    }
    return size;
  }

  /** The same, of which only what did not count does. */
  Group masked() {
    boolean[] others = new boolean[(int) geometry.elementsPerFeature()];
    for (int i = 0; i < others.length; i++) {
      others[i] = counts != null && !counts[i];
    }
    return new Group(geometry, others, index, feature, firstExample, examples);
  }

  interface Element {
    void visit(int at, int index);
  }

  void forEach(Element element) {
    int at = 0;
    for (int n = firstExample; n < firstExample + examples; n++) {
      for (int b = 0; b < geometry.before(); b++) {
        long row = n * geometry.before() + b;
        long start = row * geometry.features() + feature;
        for (int a = 0; a < geometry.after(); a++) {
          if (counts == null || counts[(int) (row * geometry.after()) + a]) {
            element.visit(at++, (int) (start * geometry.after()) + a);
          }
        }
      }
    }
  }

  /** Its elements of a batch. */
  double[] gather(Strided tensor) {
    double[] values = new double[size()];
    forEach((at, index) -> values[at] = tensor.get(index));
    return values;
  }

  /** Sets its elements of a batch. */
  void scatter(double[] values, Strided tensor) {
    forEach((at, index) -> tensor.set(index, values[at]));
  }
}
