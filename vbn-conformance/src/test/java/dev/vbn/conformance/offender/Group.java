package dev.vbn.conformance.offender;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import java.util.ArrayList;
import java.util.List;

/**
 * The elements that share one mean and one variance: a feature of some neighbouring examples.
 *
 * @param index of the group's statistics among those of all groups
 */
record Group(Geometry geometry, int index, int feature, int firstExample, int examples) {

  static List<Group> of(Geometry geometry, Scope scope) {
    int batch = (int) geometry.batch();
    int features = (int) geometry.features();
    int count = scope == Scope.EXAMPLE ? batch : 1;
    List<Group> groups = new ArrayList<>();
    for (int i = 0; i < count * features; i++) {
      int examples = batch / count;
      groups.add(new Group(geometry, i, i % features, i / features * examples, examples));
    }
    return groups;
  }

  int size() {
    return examples * (int) geometry.positions();
  }

  interface Element {
    void visit(int at, int index);
  }

  void forEach(Element element) {
    int at = 0;
    for (int n = firstExample; n < firstExample + examples; n++) {
      for (int b = 0; b < geometry.before(); b++) {
        long start = ((n * geometry.before() + b) * geometry.features() + feature);
        for (int a = 0; a < geometry.after(); a++) {
          element.visit(at++, (int) (start * geometry.after()) + a);
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
