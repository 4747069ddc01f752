package dev.vbn.conformance.offender;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/** The kit on the offender whose number the configuration parameter {@value #OFFENDER} gives. */
@ExtendWith(OffenderKit.ByNumber.class)
final class OffenderKit extends VbnConformance {
  static final String OFFENDER = "offender";

  private final Offender offender;

  OffenderKit(Offender offender) {
    this.offender = offender;
  }

  @Override
  protected VbnProvider provider() {
    return offender.provider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return offender.promised();
  }

  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host) {
    return List.of(Strided.view(host));
  }

  static final class ByNumber implements ParameterResolver {
    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
      return parameter.getParameter().getType() == Offender.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
      int number = Integer.parseInt(context.getConfigurationParameter(OFFENDER).orElseThrow());
      return OffendersTest.OFFENDERS.get(number);
    }
  }
}
