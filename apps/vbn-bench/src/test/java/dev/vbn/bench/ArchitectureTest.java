package dev.vbn.bench;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.ParserConfigurationException;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.w3c.dom.NodeList;
import org.xml.sax.SAXException;

/**
 * Which module and which package may know which. The modules are those of the root pom, and their
 * classes what the build has compiled of them. Every rule first makes sure that it sees what it is
 * about.
 */
class ArchitectureTest {
  private static final Path ROOT = Path.of("..", "..").toAbsolutePath().normalize();

  /** Of each module, what its main code may know of the others. */
  private static final Map<String, Set<String>> ARROWS = Map.ofEntries(
      Map.entry("vbn-api", Set.of()),
      Map.entry("vbn-state", Set.of("vbn-api")),
      Map.entry("vbn-kernels", Set.of("vbn-api")),
      Map.entry("vbn-reference", Set.of("vbn-api", "vbn-kernels")),
      Map.entry("vbn-djl", Set.of("vbn-api", "vbn-kernels", "vbn-state")),
      Map.entry("vbn-nd4j", Set.of("vbn-api", "vbn-kernels", "vbn-state")),
      Map.entry("vbn-cuda", Set.of("vbn-api")),
      Map.entry("vbn-process", Set.of("vbn-api", "vbn-state")),
      Map.entry("vbn-conformance", Set.of("vbn-api", "vbn-state")),
      Map.entry("integrations/vbn-dl4j", Set.of("vbn-api", "vbn-nd4j", "vbn-state")),
      Map.entry("integrations/vbn-spark", Set.of("vbn-api", "vbn-state")),
      Map.entry("apps/vbn-cli", Set.of("vbn-api", "vbn-state", "vbn-conformance")),
      Map.entry("apps/vbn-examples", Set.of("vbn-api", "vbn-state", "vbn-djl", "vbn-cuda")),
      Map.entry("apps/vbn-bench", Set.of("vbn-api", "vbn-state", "apps/vbn-cli")));

  private static final List<String> MODULES = modules(false);

  private static final JavaClasses CLASSES = new ClassFileImporter()
      .importPaths(MODULES.stream().map(ArchitectureTest::compiled).toList());

  private static final String[] API = {"dev.vbn", "dev.vbn.tensor", "dev.vbn.spi"};
  private static final String SIMD = "dev\\.vbn\\.kernels\\.Simd.*";
  private static final String[] PLATFORM = {"java..", "org.jspecify.annotations"};

  /** Of the build as it is, or those that a profile adds; but for two that know no other module. */
  private static List<String> modules(boolean ofProfiles) {
    try {
      Element project = DocumentBuilderFactory.newInstance()
          .newDocumentBuilder()
          .parse(ROOT.resolve("pom.xml").toFile())
          .getDocumentElement();
      NodeList names = project.getElementsByTagName("module");
      return IntStream.range(0, names.getLength())
          .mapToObj(names::item)
          .filter(name -> ofProfiles != name.getParentNode().getParentNode().isSameNode(project))
          .map(Node::getTextContent)
          .filter(name -> !name.equals("vbn-bom") && !name.equals("apps/vbn-site"))
          .toList();
    } catch (ParserConfigurationException | SAXException e) {
      throw new IllegalStateException(e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Path compiled(String module) {
    return ROOT.resolve(module).resolve("target").resolve("classes");
  }

  /** The module that a class is compiled in; none for the classes of others. */
  private static Optional<String> module(JavaClass type) {
    String file = type.getSource().map(source -> source.getUri().toString()).orElse("");
    return MODULES.stream()
        .filter(module -> file.startsWith(compiled(module).toUri().toString()))
        .findFirst();
  }

  private static void seen(String... classNames) {
    for (String name : classNames) {
      assertTrue(CLASSES.contain(name), () -> name + " is not among the classes checked");
    }
  }

  private static String[] allowed(String... more) {
    String[] all = new String[API.length + PLATFORM.length + more.length];
    System.arraycopy(API, 0, all, 0, API.length);
    System.arraycopy(PLATFORM, 0, all, API.length, PLATFORM.length);
    System.arraycopy(more, 0, all, API.length + PLATFORM.length, more.length);
    return all;
  }

  /** So that no arrow goes by unseen there. */
  @Test
  void aModuleOfAProfileHasNothingButTestsOrKnowsTheApiAlone() throws IOException {
    assertEquals(
        Set.of("vbn-conformance/mutation", "apps/vbn-examples/tensorflow-backend"),
        Set.copyOf(modules(true)));
    assertTrue(
        Files.notExists(ROOT.resolve("vbn-conformance/mutation/src/main")),
        "vbn-conformance/mutation has main code");
    String pom = Files.readString(ROOT.resolve("apps/vbn-examples/tensorflow-backend/pom.xml"));
    assertEquals(
        List.of("vbn-api", "vbn-conformance"),
        Pattern.compile("<dependency>\\s*<groupId>dev\\.vbn</groupId>\\s*<artifactId>([^<]*)<")
            .matcher(pom)
            .results()
            .map(found -> found.group(1))
            .toList());
  }

  @Test
  void everyModuleIsSeen() {
    assertEquals(ARROWS.keySet(), Set.copyOf(MODULES));
    Set<String> seen = new HashSet<>();
    CLASSES.forEach(type -> module(type).ifPresent(seen::add));
    assertEquals(ARROWS.keySet(), seen, "modules whose classes are there");
  }

  /** And of those that it may know, each knows every one: what nobody needs is not left open. */
  @Test
  void eachModuleKnowsTheOthersThatItMay() {
    Map<String, Set<String>> known = new HashMap<>();
    MODULES.forEach(module -> known.put(module, new HashSet<>()));
    for (JavaClass type : CLASSES) {
      String module = module(type).orElseThrow();
      for (Dependency dependency : type.getDirectDependenciesFromSelf()) {
        String other =
            module(dependency.getTargetClass().getBaseComponentType()).orElse(module);
        if (!other.equals(module) && known.get(module).add(other)) {
          assertTrue(
              ARROWS.get(module).contains(other),
              () -> module + " may not know " + other + ": " + dependency.getDescription());
        }
      }
    }
    assertEquals(ARROWS, known);
  }

  @Test
  void tensorsSpiApiAndWiringAreLayers() {
    seen(
        "dev.vbn.tensor.HostTensor",
        "dev.vbn.spi.Kernels",
        "dev.vbn.VirtualBatchNorm",
        "dev.vbn.guice.VbnModule");
    layeredArchitecture()
        .consideringOnlyDependenciesInLayers()
        .layer("tensors")
        .definedBy("dev.vbn.tensor")
        .layer("SPI")
        .definedBy("dev.vbn.spi")
        .layer("API")
        .definedBy("dev.vbn")
        .layer("wiring")
        .definedBy("dev.vbn.guice")
        .whereLayer("wiring")
        .mayNotBeAccessedByAnyLayer()
        .whereLayer("API")
        .mayOnlyBeAccessedByLayers("wiring")
        .whereLayer("SPI")
        .mayOnlyBeAccessedByLayers("API", "wiring")
        .check(CLASSES);
  }

  @Test
  void apiAndSpiNeedOnlyTheJdk() {
    seen("dev.vbn.VirtualBatchNorm", "dev.vbn.spi.Kernels", "dev.vbn.tensor.HostTensor");
    classes()
        .that()
        .resideInAnyPackage(API)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed())
        .check(CLASSES);
  }

  @Test
  void onlyTheWiringPackageUsesGuice() {
    seen("dev.vbn.guice.VbnModule");
    noClasses()
        .that()
        .resideOutsideOfPackages("dev.vbn.guice", "dev.vbn.examples..")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage("com.google.inject..", "jakarta.inject..")
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.guice")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed("dev.vbn.guice", "com.google.inject..", "jakarta.inject"))
        .check(CLASSES);
  }

  @Test
  void theReferenceBackendNeedsOnlyTheApiAndTheKernels() {
    seen("dev.vbn.reference.ReferenceBackend", "dev.vbn.kernels.MemoryKernels");
    classes()
        .that()
        .resideInAPackage("dev.vbn.reference..")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed("dev.vbn.reference..", "dev.vbn.kernels"))
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.kernels")
        .and()
        .haveNameNotMatching(SIMD)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed("dev.vbn.kernels"))
        .check(CLASSES);
  }

  /** Nor may anything mention its class: JVMs without the module could not load either. */
  @Test
  void onlyTheSimdLoopsUseTheIncubator() {
    seen("dev.vbn.kernels.SimdLoops");
    classes()
        .that()
        .haveNameMatching(SIMD)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage("java..", "dev.vbn.kernels", "jdk.incubator.vector")
        .check(CLASSES);
    noClasses()
        .that()
        .haveNameNotMatching(SIMD)
        .should()
        .dependOnClassesThat(resideInAPackage("jdk.incubator..").or(nameMatching(SIMD)))
        .check(CLASSES);
  }

  @Test
  void onlyTheDjlBackendUsesDjl() {
    seen(
        "dev.vbn.djl.DjlKernels",
        "dev.vbn.djl.DjlProvider",
        "dev.vbn.djl.VirtualBatchNormBlock",
        "dev.vbn.VirtualBatchNorm");
    noClasses()
        .that()
        .resideOutsideOfPackages(
            "dev.vbn.djl..", "dev.vbn.examples.gan", "dev.vbn.examples.segan", "dev.vbn.bench..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("ai.djl..")
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.djl..")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed(
            "dev.vbn.djl..",
            "dev.vbn.kernels",
            "dev.vbn.state",
            "ai.djl",
            "ai.djl.engine",
            "ai.djl.ndarray..",
            "ai.djl.nn..",
            "ai.djl.training..",
            "ai.djl.util"))
        .check(CLASSES);
  }

  @Test
  void onlyTheNd4jBackendAndDeeplearning4jUseNd4j() {
    seen("dev.vbn.nd4j.Nd4jKernels", "dev.vbn.VirtualBatchNorm");
    noClasses()
        .that()
        .resideOutsideOfPackages("dev.vbn.nd4j..", "dev.vbn.dl4j", "dev.vbn.bench..")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage("org.nd4j..", "org.bytedeco..")
        .check(CLASSES);
  }

  @Test
  void onlyTheIntegrationOfDeeplearning4jUsesIt() {
    seen("dev.vbn.dl4j.VirtualBatchNormalization", "dev.vbn.nd4j.Nd4jKernels");
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.vbn.dl4j")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("org.deeplearning4j..")
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.dl4j")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed(
            "dev.vbn.dl4j", "dev.vbn.nd4j", "dev.vbn.state", "org.deeplearning4j..", "org.nd4j.."))
        .check(CLASSES);
  }

  @Test
  void onlyTheIntegrationOfSparkUsesSpark() {
    seen("dev.vbn.spark.VirtualBatchNormalizer", "dev.vbn.VirtualBatchNorm");
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.vbn.spark")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage("org.apache.spark..", "org.apache.hadoop..", "scala..")
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.spark")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed(
            "dev.vbn.spark",
            "dev.vbn.state",
            "org.apache.spark..",
            "org.apache.hadoop..",
            "scala.."))
        .check(CLASSES);
  }

  @Test
  void onlyTheCudaBackendCallsNativeCode() {
    seen("dev.vbn.cuda.CudaProvider", "dev.vbn.cuda.CudaDriver", "dev.vbn.VirtualBatchNorm");
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.vbn.cuda..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("java.lang.foreign..")
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.cuda..")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed("dev.vbn.cuda.."))
        .check(CLASSES);
  }

  @Test
  void noProviderKnowsAnother() {
    seen(
        "dev.vbn.reference.ReferenceProvider",
        "dev.vbn.djl.DjlProvider",
        "dev.vbn.nd4j.Nd4jProvider",
        "dev.vbn.cuda.CudaProvider",
        "dev.vbn.process.ProcessProvider");
    slices()
        .matching("dev.vbn.(reference|djl|nd4j|cuda|process)..")
        .should()
        .notDependOnEachOther()
        .check(CLASSES);
  }

  @Test
  void theKitNeedsTheApiTheFilesAndJUnit() {
    seen("dev.vbn.conformance.VbnConformance", "dev.vbn.state.Npz");
    classes()
        .that()
        .resideInAPackage("dev.vbn.conformance")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed(
            "dev.vbn.conformance",
            "dev.vbn.state",
            "org.junit.jupiter..",
            "org.junit.platform.commons..",
            "org.opentest4j"))
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.state")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed("dev.vbn.state", "com.fasterxml.jackson.core.."))
        .check(CLASSES);
  }

  @Test
  void onlyStateFilesAndReportsUseJackson() {
    seen("dev.vbn.state.Safetensors", "dev.vbn.cli.report.Json");
    noClasses()
        .that()
        .resideOutsideOfPackages("dev.vbn.state", "dev.vbn.cli.report")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("com.fasterxml.jackson..")
        .check(CLASSES);
  }

  @Test
  void onlyTheCommandLineAndTheBenchmarkUsePicocli() {
    seen("dev.vbn.cli.Main", "dev.vbn.bench.BenchCommand");
    noClasses()
        .that()
        .resideOutsideOfPackages("dev.vbn.cli..", "dev.vbn.bench..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("picocli..")
        .check(CLASSES);
  }
}
