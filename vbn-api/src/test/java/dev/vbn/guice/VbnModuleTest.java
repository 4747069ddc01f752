package dev.vbn.guice;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.inject.ConfigurationException;
import com.google.inject.Guice;
import com.google.inject.Inject;
import com.google.inject.Injector;
import com.google.inject.Key;
import com.google.inject.ProvisionException;
import com.google.inject.Stage;
import com.google.inject.TypeLiteral;
import com.google.inject.name.Names;
import com.google.inject.util.Types;
import dev.vbn.BackendUnavailableException;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.fixture.Choices;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import dev.vbn.testing.Boxed;
import dev.vbn.testing.NoBackendNamed;
import dev.vbn.testing.ProviderPath;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.StubProvider;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
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
import org.junit.jupiter.params.provider.ValueSource;

/** What an injector with the module gives, and that it opens nothing before it is asked. */
@ResourceLock(Resources.SYSTEM_PROPERTIES)
final class VbnModuleTest {
  private static final Key<Map<String, VbnProvider<?>>> PROVIDERS = Key.get(new TypeLiteral<>() {});
  private static final Key<VbnBackend<?>> BEST = Key.get(new TypeLiteral<>() {});
  private static final Key<VbnBackend<HostTensor>> ON_HOST = Key.get(new TypeLiteral<>() {});
  private static final Key<VbnBackend<Boxed>> FOREIGN = Key.get(new TypeLiteral<>() {});

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
    final Map<String, VbnProvider<?>> providers;

    @Inject
    Consumer(
        VbnBackend<HostTensor> onHost, VbnBackend<?> best, Map<String, VbnProvider<?>> providers) {
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
    StubProvider<?> high = (StubProvider<?>) consumer.providers.get("high");
    assertEquals(1, high.opened().size());
    assertSame(high.opened().get(0), consumer.onHost.unwrap(RecordingKernels.class));
    assertSame(consumer.onHost, consumer.best);
  }

  @ParameterizedTest
  @EnumSource(names = {"DEVELOPMENT", "PRODUCTION"})
  void creatingTheInjectorProbesAndOpensNothing(Stage stage) throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Unavailable.class);
    Injector injector = Guice.createInjector(stage, new VbnModule(backends));

    for (VbnProvider<?> provider : injector.getInstance(PROVIDERS).values()) {
      assertEquals(0, ((StubProvider<?>) provider).probes());
      assertEquals(List.of(), ((StubProvider<?>) provider).opened());
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
    Injector injector = inject(find(Choices.High.class));
    VbnBackends facade = injector.getInstance(VbnBackends.class);

    assertSame(facade, injector.getInstance(VbnBackends.class));
    assertSame(injector.getInstance(BEST), facade.open());
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
    assertEquals(TensorType.of(HostTensor.class), injector.getInstance(ON_HOST).tensorType());
  }

  @Test
  void aRefusedProviderIsNotInTheMap() throws IOException {
    path.jar("twins.jar", Choices.Twin.class, Choices.OtherTwin.class, Choices.NameThrows.class);

    assertEquals(
        Set.of("high"), inject(find(Choices.High.class)).getInstance(PROVIDERS).keySet());
  }

  @Test
  void withoutAnyBackendTheReasonIsVbnsOwn() {
    Injector injector = inject(path.find());

    assertEquals(Map.of(), injector.getInstance(PROVIDERS));
    for (Key<?> key : List.of(BEST, ON_HOST)) {
      ProvisionException refusal =
          assertThrows(ProvisionException.class, () -> injector.getInstance(key));
      assertHolds(refusal.getMessage(), "no provider", "dev.vbn:vbn-reference");
      assertEquals(BackendUnavailableException.class, refusal.getCause().getClass());
    }
  }

  @Test
  void aBackendIsOneInstanceWhicheverWayItIsInjected() throws IOException {
    Injector injector = inject(find(Choices.Alpha.class, Choices.High.class));
    VbnBackend<?> best = injector.getInstance(BEST);

    assertEquals("high", best.name());
    assertSame(best, injector.getInstance(ON_HOST));
    assertSame(best, injector.getInstance(named(BEST, "high")));
    assertSame(best, injector.getInstance(named(ON_HOST, "high")));
  }

  @Test
  void aNameInjectsItsProvidersBackend() throws IOException {
    Injector injector =
        inject(find(Choices.Alpha.class, Choices.High.class, Choices.Foreign.class));

    assertEquals("alpha", injector.getInstance(named(BEST, "alpha")).name());
    assertSame(
        injector.getInstance(named(BEST, "alpha")), injector.getInstance(named(ON_HOST, "alpha")));
    assertEquals("foreign", injector.getInstance(named(FOREIGN, "foreign")).name());
    assertSame(injector.getInstance(FOREIGN), injector.getInstance(named(FOREIGN, "foreign")));
    assertThrows(ConfigurationException.class, () -> injector.getInstance(named(FOREIGN, "alpha")));
    assertThrows(ConfigurationException.class, () -> injector.getInstance(named(BEST, "other")));
  }

  @ParameterizedTest
  @ValueSource(strings = {"cuda", "djl", "nd4j", "reference"})
  void anAbsentBackendOfOursGetsVbnsAdvice(String name) throws IOException {
    Injector injector = inject(find(Choices.High.class));

    for (Key<?> key : List.of(named(BEST, name), named(ON_HOST, name))) {
      assertAdvice(injector, key, "no backend '" + name + "' was found", "dev.vbn:vbn-NAME");
    }
  }

  @Test
  void aTensorTypeThatTheProgramWantsAndNobodyHasGetsVbnsAdvice() throws IOException {
    Injector injector = Guice.createInjector(
        new VbnModule(find(Choices.High.class), TensorType.of(Boxed.class), Boxed.LIST));

    for (Key<?> key : List.of(FOREIGN, Key.get(new TypeLiteral<VbnBackend<List<Boxed>>>() {}))) {
      assertAdvice(
          injector,
          key,
          "no backend of tensor type ",
          "high: available, not asked for, on dev.vbn.tensor.HostTensor [");
    }
  }

  @Test
  void wantingWhatAProviderHasChangesNothing() throws IOException {
    Injector injector = Guice.createInjector(new VbnModule(
        find(Choices.High.class, Choices.Foreign.class),
        TensorType.of(Boxed.class),
        TensorType.of(HostTensor.class),
        TensorType.of(Boxed.class)));

    assertSame(injector.getInstance(BEST), injector.getInstance(FOREIGN));
  }

  @Test
  void aLibraryThatIsThereWithoutItsBackendGetsVbnsAdvice() throws Exception {
    String tensors = "ai.djl.ndarray.NDArray";
    path.jar(
        "djl.jar",
        ProviderPath.names(Choices.High.class),
        withLibrary(ProviderPath.classes(Choices.High.class), tensors));
    VbnBackends backends = path.find();
    TensorType<?> ofLibrary = backends.tensorTypes().stream()
        .filter(type -> type.toString().equals(tensors))
        .findFirst()
        .orElseThrow();
    Injector injector = inject(backends);

    assertAdvice(
        injector,
        Key.get(Types.newParameterizedType(VbnBackend.class, ofLibrary.type())),
        "no backend of tensor type " + tensors + " can be opened; add dev.vbn:vbn-djl, which"
            + " computes on it, to the class path");
  }

  /** A class file that is an interface of the given name, and nothing else. */
  private static Map<String, byte[]> withLibrary(Map<String, byte[]> classes, String name)
      throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    DataOutputStream file = new DataOutputStream(bytes);
    file.writeInt(0xcafebabe);
    file.writeInt(61); // of Java 17
    file.writeShort(5); // four constants: two names, and their classes
    for (String constant : List.of(name.replace('.', '/'), "java/lang/Object")) {
      file.writeByte(1);
      file.writeUTF(constant);
    }
    for (int constant : new int[] {1, 2}) {
      file.writeByte(7);
      file.writeShort(constant);
    }
    file.writeShort(0x0601); // public abstract interface
    file.writeShort(3);
    file.writeShort(4);
    file.writeLong(0); // no interfaces, fields, methods, attributes
    classes.put(name, bytes.toByteArray());
    return classes;
  }

  private static void assertAdvice(Injector injector, Key<?> key, String... fragments) {
    ProvisionException refusal =
        assertThrows(ProvisionException.class, () -> injector.getInstance(key));
    assertEquals(BackendUnavailableException.class, refusal.getCause().getClass());
    assertHolds(refusal.getCause().getMessage(), fragments);
  }

  private static <T> Key<T> named(Key<T> key, String name) {
    return key.withAnnotation(Names.named(name));
  }

  @Test
  void everyTensorTypeIsInjectedByItself() throws IOException {
    Injector injector = inject(find(Choices.Foreign.class, Choices.High.class));

    assertEquals("foreign", injector.getInstance(BEST).name());
    assertSame(injector.getInstance(BEST), injector.getInstance(FOREIGN));
    assertEquals("high", injector.getInstance(ON_HOST).name());
  }

  @Test
  void arraysGoWithABackendOnOtherTensorsToo() throws IOException {
    Injector injector = inject(find(Choices.Foreign.class));
    VbnBackend<HostTensor> copies = injector.getInstance(ON_HOST);

    assertEquals("foreign", copies.name());
    assertEquals(TensorType.of(HostTensor.class), copies.tensorType());
    assertSame(copies, injector.getInstance(named(ON_HOST, "foreign")));
    assertNotSame(copies, injector.getInstance(FOREIGN));
  }

  @Test
  void thePropertyChoosesWhereThereIsAChoice() throws IOException {
    Injector injector =
        inject(find(Choices.Foreign.class, Choices.Alpha.class, Choices.High.class));
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "alpha");

    assertEquals("alpha", injector.getInstance(BEST).name());
    assertEquals("alpha", injector.getInstance(ON_HOST).name());
    assertEquals("foreign", injector.getInstance(FOREIGN).name());
  }

  @Test
  void aGenericTensorTypeIsInjectedByItsFullType() throws IOException {
    Injector injector = inject(find(Choices.Generic.class));
    VbnBackend<List<Boxed>> backend =
        injector.getInstance(Key.get(new TypeLiteral<VbnBackend<List<Boxed>>>() {}));

    assertEquals("generic", backend.name());
    assertSame(backend, injector.getInstance(BEST));
  }

  @Test
  void aProviderWhoseTensorTypeCannotBeToldDisturbsNoOther() throws IOException {
    Injector injector = inject(find(Choices.TypeThrows.class, Choices.High.class));

    assertEquals("high", injector.getInstance(ON_HOST).name());
    ProvisionException refusal = assertThrows(
        ProvisionException.class, () -> injector.getInstance(named(BEST, "type-throws")));
    assertHolds(refusal.getMessage(), "org/example/Tensor");
  }

  @Test
  void aClosedBackendIsOpenedAnew() throws IOException {
    Injector injector = inject(find(Choices.High.class));
    VbnBackend<?> first = injector.getInstance(BEST);
    first.close();

    assertNotSame(first, injector.getInstance(BEST));
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
