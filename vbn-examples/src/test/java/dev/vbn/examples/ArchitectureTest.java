package dev.vbn.examples;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/** Which package may know which. Every rule first makes sure that it sees what it is about. */
class ArchitectureTest {
  private static final JavaClasses CLASSES = new ClassFileImporter()
      .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
      .importPackages("dev.vbn");

  private static final String[] API = {"dev.vbn", "dev.vbn.spi"};
  private static final String SIMD = "dev\\.vbn\\.reference\\.Simd.*";
  private static final String[] PLATFORM = {"java..", "org.jspecify.annotations"};

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

  @Test
  void apiAndSpiNeedOnlyTheJdk() {
    seen("dev.vbn.VirtualBatchNorm", "dev.vbn.spi.VbnBackend");
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
  void theReferenceBackendNeedsOnlyTheApi() {
    seen("dev.vbn.reference.ReferenceBackend");
    classes()
        .that()
        .resideInAPackage("dev.vbn.reference..")
        .and()
        .haveNameNotMatching(SIMD)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed("dev.vbn.reference.."))
        .check(CLASSES);
  }

  /** Nor may anything mention its classes: JVMs without the module could not load either. */
  @Test
  void onlyTheSimdKernelUsesTheIncubator() {
    seen(
        "dev.vbn.reference.SimdKernel",
        "dev.vbn.reference.SimdRuns",
        "dev.vbn.reference.SimdStrips");
    classes()
        .that()
        .haveNameMatching(SIMD)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage("java..", "dev.vbn.reference", "jdk.incubator.vector")
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
        "dev.vbn.djl.DjlBackend",
        "dev.vbn.djl.DjlProvider",
        "dev.vbn.djl.VirtualBatchNormBlock",
        "dev.vbn.VirtualBatchNorm");
    noClasses()
        .that()
        .resideOutsideOfPackages("dev.vbn.djl..", "dev.vbn.examples.gan")
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
            "ai.djl",
            "ai.djl.engine",
            "ai.djl.ndarray..",
            "ai.djl.nn..",
            "ai.djl.training..",
            "ai.djl.util"))
        .check(CLASSES);
  }

  @Test
  void onlyTheNd4jBackendUsesNd4j() {
    seen("dev.vbn.nd4j.Nd4jBackend", "dev.vbn.VirtualBatchNorm");
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.vbn.nd4j..")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage("org.nd4j..", "org.bytedeco..")
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
        "dev.vbn.cuda.CudaProvider");
    slices()
        .matching("dev.vbn.(reference|djl|nd4j|cuda)..")
        .should()
        .notDependOnEachOther()
        .check(CLASSES);
  }

  @Test
  void theKitNeedsTheApiAndJUnit() {
    seen("dev.vbn.conformance.VbnConformance", "dev.vbn.npy.Npz");
    classes()
        .that()
        .resideInAPackage("dev.vbn.conformance")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed(
            "dev.vbn.conformance",
            "dev.vbn.npy",
            "org.junit.jupiter..",
            "org.junit.platform.commons..",
            "org.opentest4j"))
        .check(CLASSES);
    classes()
        .that()
        .resideInAPackage("dev.vbn.npy")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage("dev.vbn", "dev.vbn.npy", "java..", "org.jspecify.annotations")
        .check(CLASSES);
  }

  @Test
  void onlyTheCommandLineUsesPicocli() {
    seen("dev.vbn.cli.Main");
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.vbn.cli..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("picocli..")
        .check(CLASSES);
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.vbn.cli..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("dev.vbn.cli..")
        .check(CLASSES);
  }

  @Test
  void theCommandLineKnowsNoProvider() {
    seen("dev.vbn.cli.Main");
    noClasses()
        .that()
        .resideInAnyPackage("dev.vbn.cli..", "dev.vbn.conformance..")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(
            "dev.vbn.reference..", "dev.vbn.djl..", "dev.vbn.nd4j..", "dev.vbn.cuda..")
        .check(CLASSES);
  }
}
