package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.jr.ob.JSON;
import dev.vbn.VbnBackends;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.kernels.MemoryKernels;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.VbnProvider;
import dev.vbn.state.Npy;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.engine.JupiterTestEngine;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.platform.commons.JUnitException;
import org.junit.platform.engine.TestEngine;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.reporting.legacy.xml.LegacyXmlReportGeneratingListener;
import org.opentest4j.AssertionFailedError;

/**
 * {@code vbn conform} from end to end, on class paths of its own that hold just the backends under
 * test.
 */
class ConformCommandTest {
  private static final String PROCESS_PROVIDER = "dev.vbn.process.ProcessProvider";

  /** Providers whose jar has a list of its own. */
  private static final Set<String> SAY_SO_THEMSELVES =
      Set.of(ReferenceProvider.class.getName(), PROCESS_PROVIDER);

  /** A program that keeps to the protocol, and has nothing to offer. */
  private static final String WITHOUT_KERNELS = """
      import json, struct, sys
      requests, answers = sys.stdin.buffer, sys.stdout.buffer
      while length := requests.read(8):
          header = json.loads(requests.read(*struct.unpack("<Q", length)))
          texts = header.pop("__metadata__")
          requests.read(max((each["data_offsets"][1] for each in header.values()), default=0))
          said = {"call": texts["call"]}
          if texts["op"] == "hello":
              said.update(vbn="1", name="empty", capabilities="")
          else:
              said.update(error="no kernel for " + texts["op"])
          answer = json.dumps({"__metadata__": said}).encode()
          answers.write(struct.pack("<Q", len(answer)) + answer)
          answers.flush()
      """;

  @TempDir
  Path directory;

  private ClassLoader before;

  @BeforeEach
  void rememberClassPath() {
    before = Thread.currentThread().getContextClassLoader();
  }

  @AfterEach
  void restoreClassPath() {
    Thread.currentThread().setContextClassLoader(before);
    System.clearProperty(VbnConformance.REQUIRE_DEVICE_PROPERTY);
  }

  private CommandLine conform(List<Class<? extends VbnProvider<?>>> providers, String... arguments)
      throws Exception {
    Path services = Files.createDirectories(directory.resolve("class-path/META-INF/services"));
    Files.write(
        services.resolve(VbnProvider.class.getName()),
        providers.stream()
            .filter(provider -> !SAY_SO_THEMSELVES.contains(provider.getName()))
            .map(Class::getName)
            .toList());
    List<URL> urls =
        new ArrayList<>(List.of(directory.resolve("class-path").toUri().toURL()));
    List<Class<?>> classes = new ArrayList<>(List.of(
        Main.class,
        VbnBackends.class,
        MemoryKernels.class,
        Npy.class,
        VbnConformance.class,
        JsonFactory.class,
        JSON.class,
        picocli.CommandLine.class,
        Test.class,
        ParameterizedTest.class,
        JupiterTestEngine.class,
        JUnitException.class,
        TestEngine.class,
        Launcher.class,
        LegacyXmlReportGeneratingListener.class,
        AssertionFailedError.class));
    classes.addAll(providers);
    for (Class<?> type : classes) {
      urls.add(type.getProtectionDomain().getCodeSource().getLocation());
    }
    List<String> all = new ArrayList<>(List.of("conform"));
    all.addAll(List.of(arguments));
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    try (URLClassLoader classPath =
        new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader())) {
      Thread.currentThread().setContextClassLoader(classPath);
      int exitCode = (int) classPath
          .loadClass(Main.class.getName())
          .getMethod("run", PrintWriter.class, PrintWriter.class, String[].class)
          .invoke(
              null,
              new PrintWriter(out, true),
              new PrintWriter(err, true),
              all.toArray(String[]::new));
      return new CommandLine(exitCode, out.toString(), err.toString());
    }
  }

  private static Path report(Path folder) {
    return folder.resolve("new").resolve("report");
  }

  @SuppressWarnings("unchecked")
  private static List<Map<String, Object>> backends(Path report) throws Exception {
    Map<String, Object> json =
        JsonReader.read(Files.readString(report.resolve("conformance.json")));
    return (List<Map<String, Object>>) json.get("backends");
  }

  @Test
  void aConformingBackendAndOneWithoutADevice() throws Exception {
    Path report = report(directory);
    CommandLine run = conform(
            List.of(ReferenceProvider.class, FailingBackendTest.Absent.class),
            "--report",
            report.toString())
        .succeeded();
    assertTrue(run.out().contains("conforms"), run.out());
    assertTrue(
        run.out()
            .replaceAll("\\s+", " ")
            .contains(new ReferenceProvider().probe().description()),
        run.out());
    assertTrue(run.out().contains("unavailable: no such device; expected one"), run.out());
    assertEquals(
        Set.of(
            "conformance.html",
            "conformance.json",
            "reference",
            "reference/TEST-junit-jupiter.xml"),
        CommandLine.contents(report).keySet());
    for (Map<String, Object> backend : backends(report)) {
      assertEquals(
          backend.get("name").equals("reference") ? "conforms" : "no device",
          backend.get("verdict"));
    }
    assertTrue(Files.readString(report.resolve("conformance.html")).contains("no such device"));
  }

  @Test
  void aFailingBackend() throws Exception {
    Path report = report(directory);
    CommandLine run =
        conform(List.of(FailingBackendTest.Throwing.class), "--report", report.toString());
    assertEquals(1, run.exitCode(), run.err());
    assertTrue(run.out().contains("does not conform"), run.out());
    assertTrue(
        run.out().lines().anyMatch(line -> line.matches(" +VBN-202 +\\d of \\d +statistics > .*")),
        run.out());
    // Every kernel throws: which, what, and where, once each and not in every line.
    for (String kernel : List.of("reference", "statistics")) {
      assertTrue(
          run.out()
              .lines()
              .anyMatch(line -> line.matches(
                  " +" + kernel + " +\\d+ +java.lang.IllegalArgumentException: the device burns")),
          run.out());
    }
    assertTrue(
        run.out()
            .contains("      at dev.vbn.cli.FailingBackendTest$Throwing.failure(FailingBackend"),
        run.out());
    String last = run.out().lines().reduce("", (before, line) -> line);
    assertTrue(last.matches("Start with VBN-803, (VBN-1.., )?VBN-202, VBN-306.*"), last);
    run.out().lines().forEach(line -> assertTrue(line.length() <= 100, line));
    Map<String, Object> backend = backends(report).get(0);
    assertEquals("VBN-803", ((List<?>) backend.get("orderOfWork")).get(0));
    assertTrue(
        backend.get("thrown").toString().contains("frame=dev.vbn.cli.FailingBackendTest$Throwing"),
        backend.get("thrown").toString());
    assertEquals("does not conform", backend.get("verdict"));
    String page = Files.readString(report.resolve("conformance.html"));
    assertTrue(page.replaceAll("\\s+", " ").contains("the device burns"));
    assertTrue(page.contains("at dev.vbn.cli.FailingBackendTest$Throwing.failure("));
    assertTrue(page.contains("Start with "));
    assertTrue(Files.exists(report.resolve("throwing/TEST-junit-jupiter.xml")));
  }

  private CommandLine conformProgram(String command, String... more) throws Exception {
    List<String> all = new ArrayList<>(List.of("--command", command));
    all.addAll(List.of(more));
    @SuppressWarnings("unchecked") // a provider, which is not on the compiler's class path
    Class<? extends VbnProvider<?>> provider =
        (Class<? extends VbnProvider<?>>) Class.forName(PROCESS_PROVIDER);
    return conform(List.of(provider), all.toArray(String[]::new));
  }

  @Test
  void aProgramIsTestedByItsCommand() throws Exception {
    Path program = Files.writeString(directory.resolve("program.py"), WITHOUT_KERNELS);
    Path report = report(directory);
    CommandLine run = conformProgram("python3 '" + program + "'", "--report", report.toString());
    assertEquals(1, run.exitCode(), run.err());
    String words = run.out().replaceAll("\\s+", " ");
    assertTrue(words.contains("empty, by python3"), run.out());
    assertTrue(words.contains("does not conform"), run.out());
    assertTrue(words.contains("was answered with the error 'no kernel for reference'"), run.out());
    Map<String, Object> backend = backends(report).get(0);
    assertEquals("process", backend.get("name"));
    assertEquals("does not conform", backend.get("verdict"));
    assertNull(System.getProperty("vbn.process.command"));
  }

  @Test
  void aProgramThatEndsAtOnceConformsToNothing() throws Exception {
    CommandLine run = conformProgram("echo 'no model here' >&2; exit 3");
    assertEquals(1, run.exitCode(), run.err());
    String words = run.out().replaceAll("\\s+", " ");
    assertTrue(words.contains("unavailable: 'echo 'no model here' >&2; exit 3'"), run.out());
    assertTrue(words.contains("exit code 3"), run.out());
    assertTrue(words.contains("its last words on standard error: no model here"), run.out());
  }

  @Test
  void aRequiredDeviceIsMissed() throws Exception {
    System.setProperty(VbnConformance.REQUIRE_DEVICE_PROPERTY, "true");
    Path report = report(directory);
    CommandLine run = conform(
        List.of(ReferenceProvider.class, FailingBackendTest.Absent.class),
        "--report",
        report.toString());
    assertEquals(1, run.exitCode(), run.err());
    assertTrue(Files.readString(report.resolve("conformance.html"))
        .contains("no device, though required"));
  }

  /** The exhausted one ends the run, as an interrupt would: there is no report, nor part of one. */
  @Test
  void aRunThatEndsEarlyLeavesTheOldReport() throws Exception {
    Path report = Files.createDirectories(report(directory));
    Files.writeString(report.resolve("conformance.html"), "the old one");
    Map<String, String> old = CommandLine.contents(report);
    CommandLine run =
        conform(List.of(FailingBackendTest.Exhausted.class), "--report", report.toString());
    assertEquals(1, run.exitCode(), run.err());
    assertEquals(old, CommandLine.contents(report));
    assertFalse(run.err().isEmpty());
  }
}
