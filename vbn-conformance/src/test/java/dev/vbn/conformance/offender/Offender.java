package dev.vbn.conformance.offender;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectUniqueId;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.platform.engine.DiscoverySelector;

/** A backend with one fault under one condition. */
record Offender(Fault fault, Condition condition) {
  /** The run of this thread, which JUnit makes the kit in. */
  private static final InheritableThreadLocal<Attempt> CURRENT = new InheritableThreadLocal<>();

  private record Attempt(Offender offender, Trace trace) {
    /** Batches of 16 bits, which take half of the time, only where they are looked at. */
    Set<Capability> capabilities() {
      return offender.narrow() ? EnumSet.allOf(Capability.class) : PlainBackend.CAPABILITIES;
    }
  }

  /** The kit on the current offender. */
  static final class Kit extends VbnConformance {
    private final Attempt attempt = CURRENT.get();

    @RegisterExtension
    final BeforeEachCallback beginning = check -> attempt.trace.begin(check.getUniqueId());

    @Override
    protected VbnProvider<?> provider() {
      Offender offender = attempt.offender;
      return new PlainProvider(() -> new FaultyBackend(
          offender.fault, offender.condition, attempt.trace, attempt.capabilities()));
    }

    @Override
    protected Set<Capability> capabilities() {
      return attempt.capabilities();
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

  /** Whether its fault shows in batches of 16 bits only. */
  boolean narrow() {
    return condition == Condition.FLOAT16 || condition == Condition.BFLOAT16;
  }

  /** Whether the order of calls decides when its fault shows: a part of the kit proves nothing. */
  boolean counting() {
    return switch (condition) {
      case FIRST_CALL, LATER_CALLS, EVERY_SECOND_CALL, CALLS_ABOVE_1000 -> true;
      default -> false;
    };
  }

  /** A run of the kit on it, up to the first check that fails. */
  record Run(KitRun kit, boolean altered) {}

  Run run() {
    return run(selectClass(Kit.class));
  }

  /** As above, of one check. */
  Run run(String check) {
    return run(selectUniqueId(check));
  }

  private Run run(DiscoverySelector selector) {
    Trace trace = Trace.ofFault();
    CURRENT.set(new Attempt(this, trace));
    return new Run(KitRun.of(List.of(selector), trace::stop), trace.altered.get());
  }

  /** What a fault would have done in the whole kit, in which it does nothing. */
  record Rehearsal(Trace trace, KitRun kit) {}

  static Rehearsal rehearse(Fault fault) {
    Trace trace = Trace.ofRehearsal();
    CURRENT.set(new Attempt(new Offender(fault, Condition.ALWAYS), trace));
    KitRun kit = KitRun.of(List.of(selectClass(Kit.class)), () -> {});
    assertTrue(kit.green(), () -> "rehearsing " + fault + " fails " + kit.failures);
    return new Rehearsal(trace, kit);
  }
}
