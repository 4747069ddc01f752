package dev.vbn.conformance;

import dev.vbn.DType;
import java.util.List;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;

/** A family of rules, checked on the backend of one kit. */
@TestInstance(Lifecycle.PER_CLASS)
abstract class Rules {
  final VbnConformance kit;

  Rules(VbnConformance kit) {
    this.kit = kit;
  }

  final Subject<?> subject() {
    return kit.subject();
  }

  /** The element types that the backend has: the source of tests that run in each. */
  final List<DType> dtypes() {
    try {
      return subject().dtypes();
    } catch (NoDevice e) {
      return List.of(DType.FLOAT32); // so that the check runs, and is counted as without device
    }
  }
}
