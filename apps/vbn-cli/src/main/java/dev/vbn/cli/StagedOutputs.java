package dev.vbn.cli;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/**
 * Output files that appear only when all of them have been written: each is written to a temporary
 * file beside its target and moved at the end. Closing removes what has not been moved, and the
 * directories that were made for it.
 */
public final class StagedOutputs implements AutoCloseable {
  private final List<Staged> files = new ArrayList<>();
  private final List<Path> newDirectories = new ArrayList<>();

  /** Nothing claimed yet. */
  public StagedOutputs() {}

  private record Staged(String option, Path target, Path temporary) {}

  /**
   * Claims a target, before anything is computed for it.
   *
   * @param option the option that named it, for messages
   * @return the empty temporary file to write to
   */
  public Path stage(String option, Path file) {
    Path target = file.toAbsolutePath().normalize();
    if (Files.isDirectory(target)) {
      throw new BadInputException(option + " " + file + ": is a directory; expected a file");
    }
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      throw new BadInputException(
          option + " " + file + ": is a device or other special file; expected a regular file");
    }
    Path directory = requireDirectory(option, requireNonNull(target.getParent()));
    try {
      // Moving onto a link would replace the link, not the file it leads to.
      target = Files.exists(target)
          ? target.toRealPath()
          : directory.toRealPath().resolve(target.getFileName());
    } catch (IOException e) {
      throw notWritable(option, file, e);
    }
    for (Staged other : files) {
      if (other.target.equals(target)) {
        throw new BadInputException(
            other.option + " and " + option + " both name " + file + "; expected different files");
      }
    }
    Path temporary = target.resolveSibling(".vbn-" + UUID.randomUUID() + ".tmp");
    try {
      Files.createFile(temporary);
    } catch (IOException e) {
      throw notWritable(option, file, e);
    }
    temporary.toFile().deleteOnExit(); // for an interrupt, which closes nothing
    files.add(new Staged(option, target, temporary));
    return temporary;
  }

  /** Makes a directory for outputs, if it is missing; it stays only if they are committed. */
  public void makeDirectory(String option, Path directory) {
    List<Path> missing = new ArrayList<>();
    Path parent = directory.toAbsolutePath().normalize();
    while (parent != null && !Files.exists(parent)) {
      missing.add(0, parent);
      parent = parent.getParent();
    }
    for (Path next : missing) {
      try {
        Files.createDirectory(next);
      } catch (IOException e) {
        throw notWritable(option, directory, e);
      }
      newDirectories.add(0, next);
    }
    requireDirectory(option, directory);
  }

  private static Path requireDirectory(String option, Path directory) {
    if (!Files.isDirectory(directory)) {
      throw new BadInputException(option + ": " + directory
          + (Files.exists(directory) ? " is not a directory" : " does not exist")
          + "; expected an existing directory");
    }
    return directory;
  }

  private static BadInputException notWritable(String option, Path file, IOException cause) {
    return new BadInputException(
        option + " " + file + ": cannot be written (" + cause.getClass().getSimpleName()
            + "); expected a place where files can be created",
        cause);
  }

  /** Moves every file to its target. */
  public void commit() throws IOException {
    for (Staged file : files) {
      try {
        Files.move(
            file.temporary,
            file.target,
            StandardCopyOption.ATOMIC_MOVE,
            StandardCopyOption.REPLACE_EXISTING);
      } catch (AtomicMoveNotSupportedException e) {
        Files.move(file.temporary, file.target, StandardCopyOption.REPLACE_EXISTING);
      }
    }
    files.clear();
    newDirectories.clear();
  }

  @Override
  public void close() throws IOException {
    for (Staged file : files) {
      Files.deleteIfExists(file.temporary);
    }
    for (Path directory : newDirectories) {
      Files.deleteIfExists(directory);
    }
    files.clear();
    newDirectories.clear();
  }
}
