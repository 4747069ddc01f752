package dev.vbn.conformance.offender;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/** What the offenders are made of passes, with everything that the kit knows of. */
class PlainConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new PlainProvider(() -> new ConditionalBackend(capabilities(), null));
  }

  @Override
  protected Set<Capability> capabilities() {
    return EnumSet.allOf(Capability.class);
  }

  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    return List.of(Strided.view(host, dtype));
  }

  @Override
  protected boolean overwrite(VbnBackend<?> backend, Object tensor, HostTensor host) {
    return Strided.overwrite(tensor, host);
  }

  @Override
  protected List<?> parts(VbnBackend<?> backend, HostTensor host, DType dtype, int axis) {
    return Strided.parts(host, dtype, axis);
  }
}
