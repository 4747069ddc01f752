package dev.vbn.cuda;

import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

@EnabledForJreRange(min = JRE.JAVA_22)
class EmulatedSeed1ConformanceTest extends EmulatedConformance {
  EmulatedSeed1ConformanceTest() {
    super(1, true, "auto");
  }
}
