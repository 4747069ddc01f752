package dev.vbn.cuda;

class EmulatedSeed2ConformanceTest extends EmulatedConformance {
  EmulatedSeed2ConformanceTest() {
    super(2, false);
  }
}
