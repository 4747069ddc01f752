package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.BackendOptions;
import dev.vbn.state.Npy;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What becomes of output files, and of the files that they replace. */
class OutputsTest {
  private static final String COMPUTING = "computing";

  @TempDir
  Path directory;

  private Path x;
  private Path outputs;
  private Path classPath;

  /** Says that it computes, and never ends. */
  public static final class Waiting extends FailingBackendTest.Throwing {
    @Override
    public String name() {
      return "waiting";
    }

    @Override
    RuntimeException failure(BackendOptions options) {
      System.err.println(COMPUTING);
      while (true) {
        LockSupport.park();
      }
    }
  }

  @BeforeEach
  void writeFiles() throws IOException {
    x = directory.resolve("x.npy");
    Npy.write(x, HostTensor.zeros(DType.FLOAT32, 2, 3));
    outputs = Files.createDirectory(directory.resolve("outputs"));
    classPath = ChildProcess.classPath(directory.resolve("class-path"), Waiting.class);
  }

  private Object[] normalize(Path output) {
    return new Object[] {"normalize", "--reference", x, "--input", x, "--output", output};
  }

  private void normalized(Path output) {
    CommandLine.run(normalize(output)).succeeded();
  }

  private Set<String> left() throws IOException {
    return CommandLine.contents(outputs).keySet();
  }

  @Test
  void aReplacedFileKeepsItsModeAndOwner() throws IOException {
    Path y = Files.writeString(outputs.resolve("y.npy"), "old");
    Assumptions.assumeTrue(Files.getFileStore(y).supportsFileAttributeView("posix"));
    Files.setPosixFilePermissions(y, PosixFilePermissions.fromString("rw-r-----"));
    try {
      UserPrincipal other =
          y.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody");
      Files.setOwner(y, other);
    } catch (IOException e) {
      // Only root may give files away; its own owner is the one to keep.
    }
    UserPrincipal owner = Files.getOwner(y);
    normalized(y);
    assertEquals(6, Npy.read(y).size());
    assertEquals("rw-r-----", PosixFilePermissions.toString(Files.getPosixFilePermissions(y)));
    assertEquals(owner, Files.getOwner(y));
  }

  @Test
  void aLinkIsFollowed() throws IOException {
    Path file = Files.writeString(directory.resolve("elsewhere.npy"), "old");
    Path link = Files.createSymbolicLink(outputs.resolve("y.npy"), file);
    normalized(link);
    assertTrue(Files.isSymbolicLink(link));
    assertEquals(6, Npy.read(file).size());
    assertEquals(Set.of("y.npy"), left());
  }

  @Test
  void aLinkThatLeadsNowhereIsRefused() throws IOException {
    Path link =
        Files.createSymbolicLink(outputs.resolve("y.npy"), directory.resolve("nowhere.npy"));
    assertRefused(link, "is a link that leads nowhere; expected a file");
    assertTrue(Files.isSymbolicLink(link));
  }

  @Test
  void aReadOnlyFileIsRefused() throws IOException {
    Path y = Files.writeString(outputs.resolve("y.npy"), "old");
    Assumptions.assumeTrue(y.toFile().setWritable(false) && !Files.isWritable(y));
    assertRefused(y, "is read-only; expected a file that may be replaced");
    assertEquals("old", Files.readString(y));
  }

  @Test
  void aNameThatIsTooLongIsRefusedBeforeAnythingIsComputed() throws IOException {
    Path y = outputs.resolve("y".repeat(300) + ".npy");
    CommandLine run = CommandLine.run(
        "normalize",
        "--class-path",
        classPath,
        "--backend",
        "waiting",
        "--reference",
        x,
        "--input",
        x,
        "--output",
        y);
    assertEquals(2, run.exitCode(), run.err());
    assertTrue(run.err().contains("--output " + y + ": cannot be written ("), run.err());
    assertEquals(Set.of(), left());
    CommandLine gradient = CommandLine.run(
        "gradient",
        "--class-path",
        classPath,
        "--backend",
        "waiting",
        "--reference",
        x,
        "--input",
        x,
        "--upstream",
        x,
        "--output-dir",
        outputs.resolve("new").resolve("d".repeat(300)));
    assertEquals(2, gradient.exitCode(), gradient.err());
    assertEquals(Set.of(), left());
  }

  private void assertRefused(Path output, String message) throws IOException {
    Set<String> before = new HashSet<>(Set.of(output.getFileName().toString()));
    CommandLine run = CommandLine.run(normalize(output));
    assertEquals(2, run.exitCode(), run.err());
    assertEquals("vbn: --output " + output + ": " + message, run.err().strip());
    try (var files = Files.list(outputs)) {
      files.forEach(file -> before.remove(file.getFileName().toString()));
    }
    assertEquals(Set.of(), before);
  }

  @Test
  void anInterruptLeavesNothingBehind() throws Exception {
    Map<String, String> before = CommandLine.contents(directory);
    Path made = outputs.resolve("new/deep");
    try (ChildProcess child = ChildProcess.start(
        "",
        "gradient",
        "--class-path",
        classPath,
        "--backend",
        "waiting",
        "--reference",
        x,
        "--input",
        x,
        "--upstream",
        x,
        "--output-dir",
        made)) {
      child.awaitLine(COMPUTING);
      assertTrue(Files.isDirectory(made));
      child.interrupt();
      assertEquals(before, CommandLine.contents(directory));
    }
  }

  @Test
  void whatAKilledProcessLeavesIsRemovedByTheNext() throws Exception {
    Path y = outputs.resolve("y.npy");
    try (ChildProcess child = waiting(y)) {
      child.kill();
      assertNotEquals(Set.of(), left());
      normalized(y);
      assertEquals(Set.of("y.npy"), left());
    }
  }

  @Test
  void whatIsInUseIsLeftAlone() throws Exception {
    try (ChildProcess child = waiting(outputs.resolve("one.npy"))) {
      Set<String> used = left();
      normalized(outputs.resolve("two.npy"));
      Set<String> expected = new HashSet<>(used);
      expected.add("two.npy");
      assertEquals(expected, left());
      child.interrupt();
      assertEquals(Set.of("two.npy"), left());
    }
  }

  private ChildProcess waiting(Path output) throws IOException {
    ChildProcess child = ChildProcess.start(
        "",
        "normalize",
        "--class-path",
        classPath,
        "--backend",
        "waiting",
        "--reference",
        x,
        "--input",
        x,
        "--output",
        output);
    child.awaitLine(COMPUTING);
    return child;
  }

  /** A limit on the size of files stands for a full disk: both fail the write. */
  @Test
  void aFullDiskNamesTheFile() throws Exception {
    Path large = directory.resolve("large.npy");
    Npy.write(large, HostTensor.zeros(DType.FLOAT32, 2, 30_000));
    Path y = outputs.resolve("y.npy");
    try (ChildProcess child = ChildProcess.start(
        "ulimit -f 32;", "normalize", "--reference", large, "--input", large, "--output", y)) {
      assertEquals(1, child.await());
      String err = child.err();
      assertEquals(1, err.lines().count(), err);
      assertTrue(err.startsWith("vbn: --output " + y + ": cannot be written ("), err);
    }
    assertEquals(Set.of(), left());
  }

  @Test
  void standardOutputThatIsLostIsAFailure() throws Exception {
    Assumptions.assumeTrue(Files.exists(Path.of("/dev/full")));
    for (String command : new String[] {"backends", "--help"}) {
      try (ChildProcess child = ChildProcess.start("exec >/dev/full;", command)) {
        assertEquals(1, child.await(), command);
        assertEquals("vbn: standard output could not be written", child.err().strip());
      }
    }
  }
}
