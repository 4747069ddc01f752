package dev.vbn.cli;

import static java.util.Objects.requireNonNull;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFileAttributes;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * Output files that appear only when all of them have been written: each is written under its own
 * name in a hidden directory next to its target, and moved at the end. What has not been moved is
 * removed when this is closed or the process is interrupted, with the directories that were made
 * for it. What a killed process left is removed by the next that writes to the same place: a lock
 * tells it from what is in use.
 */
public final class StagedOutputs implements AutoCloseable {
  private static final String PREFIX = ".vbn-";
  private static final String SUFFIX = ".tmp";
  private static final String LOCK = ".lock";

  private final List<StagedFile> files = new ArrayList<>();

  /** By the directory that they are in. */
  private final Map<Path, Staging> stagings = new HashMap<>();

  /** Innermost first. */
  private final List<Path> newDirectories = new ArrayList<>();

  private final Thread atExit = new Thread(this::discard, "vbn-outputs");
  private boolean ended;

  /** A hidden directory, locked as long as its process lives. */
  private record Staging(Path directory, FileChannel lock) {}

  /** Writes what a file is to hold. */
  public interface Content {
    /** Writes it; the stream is closed by the caller. */
    void to(OutputStream out) throws IOException;
  }

  /** A file that is to appear. */
  public static final class StagedFile {
    private final String option;
    private final Path given;
    private final Path target;
    private final Path path;

    private StagedFile(String option, Path given, Path target, Path path) {
      this.option = option;
      this.given = given;
      this.target = target;
      this.path = path;
    }

    /** For others that write it: under its own name, in a directory that is removed at the end. */
    public Path path() {
      return path;
    }

    /**
     * Writes it.
     *
     * @throws FileSystemException that names option and file, if it cannot be written
     */
    public void write(Content content) throws IOException {
      try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(path))) {
        content.to(out);
      } catch (IOException e) {
        throw named(e);
      }
    }

    private void move() throws IOException {
      try {
        try {
          Files.move(
              path, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException e) {
          Files.move(path, target, StandardCopyOption.REPLACE_EXISTING);
        }
      } catch (IOException e) {
        throw named(e);
      }
    }

    private FileSystemException named(IOException failure) {
      FileSystemException named = new FileSystemException(
          option + " " + given, null, "cannot be written (" + reason(failure) + ")");
      named.initCause(failure);
      return named;
    }
  }

  /** Nothing claimed yet. */
  public StagedOutputs() {
    Runtime.getRuntime().addShutdownHook(atExit);
  }

  /**
   * Claims a target, before anything is computed for it.
   *
   * @param option the option that named it, for messages
   */
  public synchronized StagedFile stage(String option, Path file) {
    Path target = file.toAbsolutePath().normalize();
    String name = option + " " + file + ": ";
    if (Files.isDirectory(target)) {
      throw new BadInputException(name + "is a directory; expected a file");
    }
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      throw new BadInputException(
          name + "is a device or other special file; expected a regular file");
    }
    if (Files.isSymbolicLink(target) && !Files.exists(target)) {
      throw new BadInputException(name + "is a link that leads nowhere; expected a file");
    }
    Path directory = requireDirectory(option, requireNonNull(target.getParent()));
    try {
      // Moving onto a link would replace the link, not the file it leads to.
      boolean replaced = Files.exists(target);
      target = replaced
          ? target.toRealPath()
          : directory.toRealPath().resolve(requireNonNull(target.getFileName()));
      for (StagedFile other : files) {
        if (other.target.equals(target)) {
          throw new BadInputException(other.option + " and " + option + " both name " + file
              + "; expected different files");
        }
      }
      if (replaced && !Files.isWritable(target)) {
        throw new BadInputException(name + "is read-only; expected a file that may be replaced");
      }
      Path path = staging(requireNonNull(target.getParent()))
          .directory
          .resolve(requireNonNull(target.getFileName()));
      Files.createFile(path); // which fails now if the name is too long
      if (replaced) {
        keepOwnerAndMode(name, target, path);
      }
      StagedFile staged = new StagedFile(option, file, target, path);
      files.add(staged);
      return staged;
    } catch (IOException e) {
      throw notWritable(name, e);
    }
  }

  private Staging staging(Path directory) throws IOException {
    if (ended) {
      throw new IOException("the process is about to end");
    }
    Staging known = stagings.get(directory);
    if (known != null) {
      return known;
    }
    removeLeftovers(directory);
    Path hidden = Files.createDirectory(directory.resolve(PREFIX + UUID.randomUUID() + SUFFIX));
    FileChannel lock = FileChannel.open(
        hidden.resolve(LOCK), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    Staging staging = new Staging(hidden, lock);
    stagings.put(directory, staging);
    lock.lock(); // until the channel is closed
    return staging;
  }

  /** Removes what killed processes have left in a directory. */
  private static void removeLeftovers(Path directory) throws IOException {
    try (DirectoryStream<Path> hidden =
        Files.newDirectoryStream(directory, PREFIX + "*" + SUFFIX)) {
      for (Path leftover : hidden) {
        if (isLeft(leftover)) {
          remove(leftover);
        }
      }
    }
  }

  private static boolean isLeft(Path hidden) {
    try (FileChannel channel = FileChannel.open(hidden.resolve(LOCK), StandardOpenOption.WRITE);
        FileLock lock = channel.tryLock()) {
      return lock != null;
    } catch (IOException | OverlappingFileLockException e) {
      return false; // nothing of ours, or in use by this very process
    }
  }

  /** A hidden directory with all that is in it, as far as it can be removed. */
  private static void remove(Path hidden) {
    try (DirectoryStream<Path> all = Files.newDirectoryStream(hidden)) {
      for (Path file : all) {
        Files.deleteIfExists(file);
      }
      Files.deleteIfExists(hidden);
    } catch (IOException e) {
      // Of another user: theirs to remove.
    }
  }

  /** So that replacing a file gives nobody more or less leave to use it. */
  private static void keepOwnerAndMode(String name, Path target, Path path) throws IOException {
    PosixFileAttributeView view = Files.getFileAttributeView(path, PosixFileAttributeView.class);
    if (view == null) {
      return; // another kind of system
    }
    PosixFileAttributes kept = Files.readAttributes(target, PosixFileAttributes.class);
    PosixFileAttributes made = view.readAttributes();
    try {
      if (!kept.group().equals(made.group())) {
        view.setGroup(kept.group());
      }
      if (!kept.owner().equals(made.owner())) {
        view.setOwner(kept.owner());
      }
    } catch (IOException e) {
      throw new BadInputException(
          name + "belongs to " + kept.owner().getName() + " of group "
              + kept.group().getName()
              + ", and what replaces it would not; expected a file of your own",
          e);
    }
    view.setPermissions(kept.permissions());
  }

  /** Makes a directory for outputs, if it is missing; it stays only if they are committed. */
  public synchronized void makeDirectory(String option, Path directory) {
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
        throw notWritable(option + " " + directory + ": ", e);
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

  private static BadInputException notWritable(String name, IOException cause) {
    return new BadInputException(
        name + "cannot be written (" + reason(cause)
            + "); expected a place where files can be created",
        cause);
  }

  /** Why, without the path that {@link FileSystemException} puts before it. */
  private static String reason(IOException failure) {
    if (failure instanceof FileSystemException named && named.getReason() != null) {
      return named.getReason();
    }
    return failure.getClass() == IOException.class
        ? String.valueOf(failure.getMessage())
        : failure.getClass().getSimpleName();
  }

  /** Moves every file to its target. */
  public synchronized void commit() throws IOException {
    if (ended) {
      throw new IOException("the process is about to end");
    }
    for (StagedFile file : files) {
      file.move();
    }
    newDirectories.clear();
  }

  private synchronized void discard() {
    ended = true;
    for (Staging staging : stagings.values()) {
      try {
        staging.lock.close();
      } catch (IOException e) {
        // It ends with the process.
      }
      remove(staging.directory);
    }
    stagings.clear();
    for (Path directory : newDirectories) {
      try {
        Files.deleteIfExists(directory);
      } catch (IOException e) {
        break; // somebody has put something there
      }
    }
    newDirectories.clear();
  }

  @Override
  public void close() {
    discard();
    try {
      Runtime.getRuntime().removeShutdownHook(atExit);
    } catch (IllegalStateException e) {
      // The process is ending: the hook has run, or finds nothing to do.
    }
  }
}
