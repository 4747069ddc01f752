package dev.vbn.state;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.VbnConfig;
import dev.vbn.state.StagedFiles.StagedFile;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** All files or none, and what they replace passes on what is its own. */
final class StagedFilesTest {
  private static final StagedFiles.Content NEW = out -> out.write(new byte[] {1, 2, 3});

  @TempDir
  private Path folder;

  private Set<String> names() throws IOException {
    try (var files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  @Test
  void theyAppearTogetherOrNotAtAll() throws IOException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    try (StagedFiles files = new StagedFiles()) {
      files.makeDirectory("", folder.resolve("deep/er"));
      files.stage("", old).write(NEW);
      files.stage("", folder.resolve("deep/er/new")).write(NEW);
      assertEquals("old", Files.readString(old));
    }
    assertEquals("old", Files.readString(old));
    assertEquals(Set.of("old"), names());

    try (StagedFiles files = new StagedFiles()) {
      files.makeDirectory("", folder.resolve("deep/er"));
      files.stage("", old).write(NEW);
      files.stage("", folder.resolve("deep/er/new")).write(NEW);
      files.commit();
    }
    assertEquals(3, Files.size(old));
    assertEquals(3, Files.size(folder.resolve("deep/er/new")));
    assertEquals(Set.of("old", "deep"), names());
  }

  @Test
  void whatFailsToBeWrittenLeavesWhatWasThere() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "old");
    String message = assertThrows(
            FileSystemException.class,
            () -> StagedFiles.write(file, out -> {
              out.write(new byte[100_000]);
              throw new IOException("no space");
            }))
        .getMessage();

    assertEquals(file + ": cannot be written (no space)", message);
    assertEquals("old", Files.readString(file));
    assertEquals(Set.of("file"), names());
  }

  @Test
  void modeAndLinkStay() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "old");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
    Path link = Files.createSymbolicLink(folder.resolve("link"), Path.of("file"));
    StagedFiles.write(link, NEW);

    assertTrue(Files.isSymbolicLink(link));
    assertEquals(3, Files.size(file));
    assertEquals("rw-r-----", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    assertEquals(Set.of("file", "link"), names());
  }

  @Test
  void whatCannotBeReplacedIsRefused() throws IOException {
    Path nowhere = Files.createSymbolicLink(folder.resolve("nowhere"), Path.of("missing"));
    Files.writeString(folder.resolve("file"), "old");
    assertRefused(nowhere, "is a link that leads nowhere; expected a file");
    assertRefused(folder, "is a directory; expected a file");
    assertRefused(
        folder.resolve("missing/file"),
        folder.resolve("missing") + " does not exist; expected an existing directory");
    assertRefused(
        folder.resolve("file/file"),
        folder.resolve("file") + " is not a directory; expected an existing directory");
    try (StagedFiles files = new StagedFiles()) {
      StagedFile first = files.stage("the first", folder.resolve("file"));
      assertEquals(folder.resolve("file").getFileName(), first.path().getFileName());
      assertEquals(
          "the second " + folder.resolve("./file") + ": is the first " + folder.resolve("file")
              + " too; expected different files",
          assertThrows(
                  FileSystemException.class,
                  () -> files.stage("the second", folder.resolve("./file")))
              .getMessage());
    }
    assertEquals(Set.of("nowhere", "file"), names());
  }

  private static void assertRefused(Path file, String reason) {
    assertEquals(
        file + ": " + reason,
        assertThrows(FileSystemException.class, () -> StagedFiles.write(file, NEW))
            .getMessage());
  }

  @Test
  void aReadOnlyFileIsRefused() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "old");
    assumeTrue(file.toFile().setWritable(false) && !Files.isWritable(file));
    assertRefused(file, "is read-only; expected a file that may be replaced");
  }

  /** Left by a kill: the lock is nobody's. What has no lock, or one in use, is left alone. */
  @Test
  void leftoversGoAndAllElseStays() throws IOException {
    Path left = Files.createDirectory(folder.resolve(".vbn-left.tmp"));
    Files.createFile(left.resolve(".lock"));
    Files.writeString(left.resolve("half"), "half");
    Files.createDirectory(folder.resolve(".vbn-other.tmp"));
    Path used = Files.createDirectory(folder.resolve(".vbn-used.tmp"));
    try (FileChannel lock = FileChannel.open(
        used.resolve(".lock"), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      lock.lock();
      StagedFiles.write(folder.resolve("file"), NEW);
      assertEquals(Set.of("file", ".vbn-other.tmp", ".vbn-used.tmp"), names());
    }
  }

  /** Each looks for leftovers where the others are just beginning. */
  @Test
  void threadsSaveIntoOneFolder() throws Exception {
    LayerState state = new LayerState(VbnConfig.of(2), null, null, null);
    ExecutorService threads = Executors.newFixedThreadPool(8);
    try {
      List<Future<?>> saved = new ArrayList<>();
      for (int i = 0; i < 400; i++) {
        Path file = folder.resolve("layer-" + i + ".npz");
        saved.add(threads.submit(() -> {
          state.save(file);
          return LayerState.load(file);
        }));
      }
      for (Future<?> one : saved) {
        one.get();
      }
    } finally {
      threads.shutdownNow();
    }
    assertEquals(400, names().size());
  }
}
