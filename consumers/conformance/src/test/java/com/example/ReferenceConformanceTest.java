package com.example;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.EnumSet;
import java.util.Set;

class ReferenceConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new ReferenceProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return EnumSet.complementOf(EnumSet.of(Capability.FLOAT16, Capability.BFLOAT16));
  }
}
