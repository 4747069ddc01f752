package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.VbnBackend;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.ClassOrderer;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.TestClassOrder;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Proof that a provider computes virtual batch normalization. A test class of the provider extends
 * this and names the provider and what it promises:
 *
 * <pre>{@code
 * class MyBackendConformanceTest extends VbnConformance {
 *   protected VbnProvider<?> provider() {
 *     return new MyProvider();
 *   }
 *
 *   protected Set<Capability> capabilities() {
 *     return Set.of(Capability.FLOAT64_STATISTICS, Capability.SUBNORMALS);
 *   }
 * }
 * }</pre>
 *
 * <p>Every rule ({@link Rule}) must have been checked when the kit ends: a partial run fails.
 *
 * <p>Families of rules run in the order in which an author gets them right, the long ones last.
 *
 * <p>Expected values come from outside every provider: golden files made by automatic
 * differentiation in 64 bits, an oracle in twice 64 bits, and the laws that the formula obeys.
 * Tolerances belong to the kit. An absent capability is skipped after its refusal has been checked.
 * A provider without its device is skipped as a whole, or fails where the system property
 * {@value #REQUIRE_DEVICE_PROPERTY} is true.
 */
@TestInstance(Lifecycle.PER_CLASS)
@TestClassOrder(ClassOrderer.OrderAnnotation.class)
public abstract class VbnConformance {
  /** System property: true makes an unavailable provider a failure. */
  public static final String REQUIRE_DEVICE_PROPERTY = "vbn.conformance.requireDevice";

  @RegisterExtension
  final Census census = new Census();

  private final List<Subject<?>> opened = new ArrayList<>();
  private @Nullable Subject<?> subject;

  /** For the subclass. */
  protected VbnConformance() {}

  /** The provider to check. */
  protected abstract VbnProvider<?> provider();

  /** The optional capabilities that the provider promises, stated independently of its own code. */
  protected abstract Set<Capability> capabilities();

  /**
   * Tensors that show the elements of {@code host} in layouts other than that of a new tensor: a
   * part of a larger one along each axis, every second element along each, the axes in another
   * order. The more there are, the more is checked. None by default, for tensors that have one
   * layout.
   *
   * @param backend the open backend, of the provider's tensor type
   * @param host elements that are rounded to {@code dtype}
   * @param dtype of the tensors
   * @return objects of the tensor type, which the kit releases
   */
  protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    return List.of();
  }

  /**
   * Two views of one tensor with the elements of {@code host}: all of it but the last along an axis,
   * and all but the first. None by default, for tensors that share no memory.
   *
   * @param backend as in {@link #views}, as are {@code host} and {@code dtype}
   * @param axis whose length is at least 2; where it is 2, the views have no element in common
   * @return two objects of the tensor type, which the kit releases; or none, for an axis along which
   *     tensors cannot be cut too
   */
  protected List<?> parts(VbnBackend<?> backend, HostTensor host, DType dtype, int axis) {
    return List.of();
  }

  /**
   * Writes the elements of {@code host} into a tensor of its shape, as a program that trains
   * parameters in place does. By default only a {@link HostTensor} is written to.
   *
   * @param backend as in {@link #views}
   * @param tensor made by that backend
   * @param host of the tensor's shape, its elements rounded to the tensor's type
   * @return whether it was written; false for tensors that cannot change
   */
  protected boolean overwrite(VbnBackend<?> backend, Object tensor, HostTensor host) {
    if (!(tensor instanceof HostTensor known)) {
      return false;
    }
    Object to = known.dtype() == DType.FLOAT64 ? known.doubles() : known.floats();
    Object from = known.dtype() == DType.FLOAT64
        ? host.to(DType.FLOAT64).doubles()
        : host.to(DType.FLOAT32).floats();
    System.arraycopy(from, 0, to, 0, known.size());
    return true;
  }

  /** The opened backend, one for all tests but those that close it. */
  final synchronized Subject<?> subject() {
    Subject<?> open = subject;
    if (open == null) {
      open = openSubject();
      subject = open;
    }
    return open;
  }

  /** Whether a backend has been opened: then the provider cannot be unavailable. */
  final synchronized boolean isOpen() {
    return !opened.isEmpty();
  }

  final Subject<?> openSubject() {
    return openSubject(BackendOptions.defaults());
  }

  final synchronized Subject<?> openSubject(BackendOptions options) {
    VbnProvider<?> provider = provider();
    assumeDevice(provider, isOpen() || requireDevice());
    Subject<?> open = new Subject<>(VbnBackend.open(provider, options));
    opened.add(open);
    return open;
  }

  /**
   * For other tests of a provider: skips the calling test where the provider is not available, or
   * fails it where a device is required.
   */
  public static void assumeDevice(VbnProvider<?> provider) {
    assumeDevice(provider, requireDevice());
  }

  private static void assumeDevice(VbnProvider<?> provider, boolean required) {
    Availability availability = provider.probe();
    if (!availability.available()) {
      String message = "no device for '" + provider.name() + "': " + availability.description();
      if (required) {
        fail(message, availability.cause());
      }
      throw new NoDevice(message);
    }
  }

  static boolean requireDevice() {
    String property = System.getProperty(REQUIRE_DEVICE_PROPERTY, "false");
    return switch (property) {
      case "true" -> true;
      case "false" -> false;
      default ->
        throw new IllegalArgumentException(
            REQUIRE_DEVICE_PROPERTY + " is '" + property + "'; expected true or false");
    };
  }

  /**
   * Needs one instance for all tests: JUnit refuses it in a kit with several, which count
   * separately.
   */
  @AfterAll
  final synchronized void closeSubject() {
    if (subject != null) {
      subject.close();
      subject = null;
    }
  }

  /** Tensors that the kit has left open, on all backends that it opened. */
  final synchronized long openTensors() {
    return opened.stream().mapToLong(each -> each.backend.openTensors()).sum();
  }

  @Nested
  @Order(1)
  @DisplayName("provider")
  final class Provider extends ProviderRules {
    Provider() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(2)
  @DisplayName("conversion")
  final class Conversion extends ConversionRules {
    Conversion() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(3)
  @DisplayName("statistics")
  final class Statistics extends StatisticsRules {
    Statistics() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(4)
  @DisplayName("forward")
  final class Forward extends ForwardRules {
    Forward() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(5)
  @DisplayName("relations")
  final class Relation extends RelationRules {
    Relation() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(6)
  @DisplayName("gradients")
  final class Gradient extends GradientRules {
    Gradient() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(7)
  @DisplayName("conditional")
  final class Conditional extends ConditionalRules {
    Conditional() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(8)
  @DisplayName("shared statistics")
  final class SharedStatistics extends SharedStatisticsRules {
    SharedStatistics() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(9)
  @DisplayName("capabilities")
  final class Capabilities extends CapabilityRules {
    Capabilities() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(10)
  @DisplayName("supplied tensors")
  final class Supplied extends SuppliedRules {
    Supplied() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(11)
  @DisplayName("views")
  final class Strides extends ViewRules {
    Strides() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(12)
  @DisplayName("ownership")
  final class Ownership extends OwnershipRules {
    Ownership() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(13)
  @DisplayName("aliases")
  final class Aliases extends AliasRules {
    Aliases() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(14)
  @DisplayName("extremes")
  final class Extremes extends ExtremeRules {
    Extremes() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(15)
  @DisplayName("contagion")
  final class Contagion extends ContagionRules {
    Contagion() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(16)
  @DisplayName("masks")
  final class Masks extends MaskRules {
    Masks() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(17)
  @DisplayName("closing")
  final class Closing extends ClosingRules {
    Closing() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(18)
  @DisplayName("differences")
  final class Differences extends DifferenceRules {
    Differences() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(19)
  @DisplayName("repetition")
  final class Repetition extends RepetitionRules {
    Repetition() {
      super(VbnConformance.this);
    }
  }

  @Nested
  @Order(20)
  @DisplayName("sizes")
  final class Sizes extends SizeRules {
    Sizes() {
      super(VbnConformance.this);
    }
  }
}
