package dev.vbn.guice;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.inject.Guice;
import com.google.inject.Inject;
import com.google.inject.Injector;
import com.google.inject.Key;
import com.google.inject.ProvisionException;
import com.google.inject.Stage;
import com.google.inject.TypeLiteral;
import dev.vbn.BackendUnavailableException;
import dev.vbn.VbnBackends;
import dev.vbn.fixture.Choices;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.NoBackendNamed;
import dev.vbn.testing.ProviderPath;
import dev.vbn.testing.StubProvider;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.ResourceLock;
import org.junit.jupiter.api.parallel.Resources;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What an injector with the module gives, and that it opens nothing before it is asked. */
@ResourceLock(Resources.SYSTEM_PROPERTIES)
final class VbnModuleTest {
  private static final Key<Map<String, VbnProvider>> PROVIDERS = Key.get(new TypeLiteral<>() {});
  private static final Key<VbnBackend<?>> BEST = Key.get(new TypeLiteral<>() {});
  private static final Key<VbnBackend<HostTensor>> ON_HOST = Key.get(new TypeLiteral<>() {});
  private static final Key<VbnBackend<CharSequence>> FOREIGN = Key.get(new TypeLiteral<>() {});

  @RegisterExtension
  private final NoBackendNamed property = new NoBackendNamed();

  @TempDir
  private Path folder;

  private ProviderPath path;

  @BeforeEach
  void emptyClassPath() {
    path = new ProviderPath(folder);
  }

  @AfterEach
  void closeClassPath() throws IOException {
    path.close();
  }

  /** A class that compiles against the API alone and takes what it needs. */
  static final class Consumer {
    final VbnBackend<HostTensor> onHost;
    final VbnBackend<?> best;
    final Map<String, VbnProvider> providers;

    @Inject
    Consumer(
        VbnBackend<HostTensor> onHost, VbnBackend<?> best, Map<String, VbnProvider> providers) {
      this.onHost = onHost;
      this.best = best;
      this.providers = providers;
    }
  }

  @Test
  void aConstructorGetsBackendsByTheirFullTypeAndTheProvidersByName() throws IOException {
    Injector injector = inject(find(Choices.Alpha.class, Choices.High.class));
    Consumer consumer = injector.getInstance(Consumer.class);

    assertEquals(Set.of("alpha", "high"), consumer.providers.keySet());
    StubProvider high = (StubProvider) consumer.providers.get("high");
    assertTrue(high.opened().contains(consumer.onHost));
    assertTrue(high.opened().contains(consumer.best));
  }

  @ParameterizedTest
  @EnumSource(names = {"DEVELOPMENT", "PRODUCTION"})
  void creatingTheInjectorProbesAndOpensNothing(Stage stage) throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Unavailable.class);
    Injector injector = Guice.createInjector(stage, new VbnModule(backends));

    for (VbnProvider provider : injector.getInstance(PROVIDERS).values()) {
      assertEquals(0, ((StubProvider) provider).probes());
      assertEquals(List.of(), ((StubProvider) provider).opened());
    }
  }

  @Test
  void aBackendIsOpenedOnce() throws IOException {
    Injector injector = inject(find(Choices.High.class));

    assertSame(injector.getInstance(ON_HOST), injector.getInstance(ON_HOST));
    assertSame(injector.getInstance(BEST), injector.getInstance(BEST));
  }

  @Test
  void theFacadeItselfIsBound() throws IOException {
    VbnBackends backends = find(Choices.High.class);

    assertSame(backends, inject(backends).getInstance(VbnBackends.class));
  }

  @Test
  void anUnavailableBackendFailsWithItsReasonAndTheOthersWork() throws IOException {
    Injector injector = inject(find(Choices.High.class, Choices.Unavailable.class));
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "unavailable");
    ProvisionException refusal =
        assertThrows(ProvisionException.class, () -> injector.getInstance(BEST));
    System.clearProperty(VbnBackends.BACKEND_PROPERTY);

    assertHolds(refusal.getMessage(), "backend 'unavailable' cannot be opened", "no such device");
    assertEquals(BackendUnavailableException.class, refusal.getCause().getClass());
    assertEquals(HostTensor.class, injector.getInstance(ON_HOST).tensorType());
  }

  @Test
  void aTensorTypeWhoseOnlyBackendFailsSaysWhyAndTheOthersWork() throws IOException {
    Injector injector = inject(find(Choices.High.class, Choices.Foreign.class));
    ProvisionException refusal =
        assertThrows(ProvisionException.class, () -> injector.getInstance(FOREIGN));

    assertHolds(refusal.getMessage(), "CharSequence");
    assertEquals(HostTensor.class, injector.getInstance(ON_HOST).tensorType());
  }

  @Test
  void aRefusedProviderIsNotInTheMap() throws IOException {
    path.jar("twins.jar", Choices.Twin.class, Choices.OtherTwin.class, Choices.NameThrows.class);

    assertEquals(
        Set.of("high"), inject(find(Choices.High.class)).getInstance(PROVIDERS).keySet());
  }

  @Test
  void anEmptyClassPathGivesAnEmptyMapAndAReason() {
    Injector injector = inject(path.find());

    assertEquals(Map.of(), injector.getInstance(PROVIDERS));
    ProvisionException refusal =
        assertThrows(ProvisionException.class, () -> injector.getInstance(BEST));
    assertHolds(refusal.getMessage(), "no provider", "dev.vbn:vbn-reference");
  }

  @Test
  void noBackendsAreRefusedByName() {
    assertRefused(
        NullPointerException.class, () -> new VbnModule(null), "backends is null", "expected");
  }

  private VbnBackends find(Class<?>... providers) throws IOException {
    return path.jar("choices.jar", providers).find();
  }

  private static Injector inject(VbnBackends backends) {
    return Guice.createInjector(new VbnModule(backends));
  }
}
