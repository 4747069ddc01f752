package dev.vbn.cuda;

class EmulatedSeed3ConformanceTest extends EmulatedConformance {
  EmulatedSeed3ConformanceTest() {
    super(3, true);
  }
}
