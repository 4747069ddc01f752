package dev.vbn.cuda;

class EmulatedSeed1ConformanceTest extends EmulatedConformance {
  EmulatedSeed1ConformanceTest() {
    super(1, true);
  }
}
