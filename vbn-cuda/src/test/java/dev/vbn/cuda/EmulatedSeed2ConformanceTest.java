package dev.vbn.cuda;

import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

@EnabledForJreRange(min = JRE.JAVA_22)
class EmulatedSeed2ConformanceTest extends EmulatedConformance {
  EmulatedSeed2ConformanceTest() {
    super(2, false, "two");
  }
}
