package dev.vbn.state;

import static java.util.Objects.requireNonNull;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryIteratorException;
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
import org.jspecify.annotations.Nullable;

/**
 * Files that appear only when all of them have been written: each is written under its own name in
 * a hidden directory next to its target, and moved at the end. A file that is replaced passes on
 * its mode and its owner; a link stays a link, and its target is replaced.
 *
 * <p>What has not been moved is removed when this is closed or the process is interrupted, with the
 * directories that were made for it. What a killed process left is removed by the next that writes
 * to the same place: a lock tells it from what is in use.
 */
public final class StagedFiles implements AutoCloseable {
  private static final String PREFIX = ".vbn-";
  private static final String SUFFIX = ".tmp";
  private static final String LOCK = ".lock";

  /**
   * Held from making a hidden directory to locking it: nobody in this process sees it in between.
   */
  private static final Object BEGINNING = new Object();

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
    /** Writes it to a stream that the caller closes. */
    void writeTo(OutputStream out) throws IOException;
  }

  /** A file that is to appear. */
  public static final class StagedFile {
    private final String name;
    private final Path target;
    private final Path path;

    private StagedFile(String name, Path target, Path path) {
      this.name = name;
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
     * @throws FileSystemException if it cannot be written
     */
    public void write(Content content) throws IOException {
      try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(path))) {
        content.writeTo(out);
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
      return refusal(name, "cannot be written (" + reason(failure) + ")", failure);
    }
  }

  /** Nothing claimed yet. */
  public StagedFiles() {
    try {
      Runtime.getRuntime().addShutdownHook(atExit);
    } catch (IllegalStateException e) {
      // The process is ending, and this is the last that it writes.
    }
  }

  /** Writes one file, or replaces it. */
  static void write(Path file, Content content) throws IOException {
    try (StagedFiles files = new StagedFiles()) {
      files.stage("", file).write(content);
      files.commit();
    }
  }

  /**
   * Claims a target, before anything is computed for it.
   *
   * @param role what the file is to its user, such as the option that names it, for messages; may
   *     be empty
   * @throws FileSystemException if it cannot be written, is read-only, is not a regular file, is a
   *     link that leads nowhere, or is staged already
   */
  public synchronized StagedFile stage(String role, Path file) throws FileSystemException {
    Path target = file.toAbsolutePath().normalize();
    String name = name(role, file);
    if (Files.isDirectory(target)) {
      throw refusal(name, "is a directory; expected a file", null);
    }
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      throw refusal(name, "is a device or other special file; expected a regular file", null);
    }
    if (Files.isSymbolicLink(target) && !Files.exists(target)) {
      throw refusal(name, "is a link that leads nowhere; expected a file", null);
    }
    Path directory = requireNonNull(target.getParent());
    requireDirectory(name, directory + " ", directory);
    // Moving onto a link would replace the link, not the file it leads to.
    Path real = real(name, target, directory);
    for (StagedFile other : files) {
      if (other.target.equals(real)) {
        throw refusal(name, "is " + other.name + " too; expected different files", null);
      }
    }
    boolean replaced = Files.exists(real);
    if (replaced && !Files.isWritable(real)) {
      throw refusal(name, "is read-only; expected a file that may be replaced", null);
    }
    StagedFile staged = new StagedFile(name, real, create(name, real));
    if (replaced) {
      keepOwnerAndMode(name, real, staged.path);
    }
    files.add(staged);
    return staged;
  }

  private static Path real(String name, Path target, Path directory) throws FileSystemException {
    try {
      return Files.exists(target)
          ? target.toRealPath()
          : directory.toRealPath().resolve(requireNonNull(target.getFileName()));
    } catch (IOException e) {
      throw notWritable(name, e);
    }
  }

  /** An empty file, which fails now if the name is too long. */
  private Path create(String name, Path target) throws FileSystemException {
    try {
      Path hidden = staging(requireNonNull(target.getParent())).directory;
      return Files.createFile(hidden.resolve(requireNonNull(target.getFileName())));
    } catch (IOException e) {
      throw notWritable(name, e);
    }
  }

  private static String name(String role, Path file) {
    return role.isEmpty() ? file.toString() : role + " " + file;
  }

  private Staging staging(Path directory) throws IOException {
    if (ended) {
      throw new IOException("the process is about to end");
    }
    Staging known = stagings.get(directory);
    if (known != null) {
      return known;
    }
    synchronized (BEGINNING) {
      removeLeftovers(directory);
      Staging staging = begin(directory);
      // Another process may have taken it for a leftover just before it was locked.
      while (!Files.exists(staging.directory.resolve(LOCK))) {
        staging.lock.close();
        staging = begin(directory);
      }
      stagings.put(directory, staging);
      return staging;
    }
  }

  private static Staging begin(Path directory) throws IOException {
    Path hidden = Files.createDirectory(directory.resolve(PREFIX + UUID.randomUUID() + SUFFIX));
    FileChannel channel = FileChannel.open(
        hidden.resolve(LOCK), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    try {
      channel.lock(); // until the channel is closed
    } catch (IOException e) {
      // Where files cannot be locked, what a killed process leaves stays.
    }
    return new Staging(hidden, channel);
  }

  /** Removes what killed processes have left in a directory. */
  private static void removeLeftovers(Path directory) throws IOException {
    try (DirectoryStream<Path> hidden =
        Files.newDirectoryStream(directory, PREFIX + "*" + SUFFIX)) {
      hidden.forEach(StagedFiles::removeIfLeft);
    }
  }

  /** Removes it under its lock, so that nobody starts to use it meanwhile. */
  private static void removeIfLeft(Path hidden) {
    try (FileChannel channel = FileChannel.open(hidden.resolve(LOCK), StandardOpenOption.WRITE);
        FileLock lock = channel.tryLock()) {
      if (lock != null) {
        remove(hidden);
      }
    } catch (IOException | OverlappingFileLockException e) {
      // Nothing of ours, or in use by this very process.
    }
  }

  /** A hidden directory with all that is in it, as far as it can be removed. */
  private static void remove(Path hidden) {
    try (DirectoryStream<Path> all = Files.newDirectoryStream(hidden)) {
      for (Path file : all) {
        Files.deleteIfExists(file);
      }
      Files.deleteIfExists(hidden);
    } catch (IOException | DirectoryIteratorException e) {
      // Of another user: theirs to remove.
    }
  }

  /** So that replacing a file does not change who may use it. */
  private static void keepOwnerAndMode(String name, Path target, Path path)
      throws FileSystemException {
    PosixFileAttributeView view = Files.getFileAttributeView(path, PosixFileAttributeView.class);
    if (view == null) {
      return; // another kind of system
    }
    PosixFileAttributes kept;
    PosixFileAttributes made;
    try {
      kept = Files.readAttributes(target, PosixFileAttributes.class);
      made = view.readAttributes();
    } catch (IOException e) {
      throw notWritable(name, e);
    }
    try {
      if (!kept.group().equals(made.group())) {
        view.setGroup(kept.group());
      }
      if (!kept.owner().equals(made.owner())) {
        view.setOwner(kept.owner());
      }
      view.setPermissions(kept.permissions());
    } catch (IOException e) {
      throw refusal(
          name,
          "belongs to " + kept.owner().getName() + " of group " + kept.group().getName()
              + ", and what replaces it would not; expected a file of your own",
          e);
    }
  }

  /**
   * Makes a directory for files, if it is missing; it stays only if they are committed.
   *
   * @param role as for a file
   * @throws FileSystemException if it cannot be made, or is not a directory
   */
  public synchronized void makeDirectory(String role, Path directory) throws FileSystemException {
    String name = name(role, directory);
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
        throw notWritable(name, e);
      }
      newDirectories.add(0, next);
    }
    requireDirectory(name, "", directory);
  }

  private static void requireDirectory(String name, String which, Path directory)
      throws FileSystemException {
    if (!Files.isDirectory(directory)) {
      throw refusal(
          name,
          which + (Files.exists(directory) ? "is not a directory" : "does not exist")
              + "; expected an existing directory",
          null);
    }
  }

  private static FileSystemException refusal(
      String name, String reason, @Nullable Throwable cause) {
    FileSystemException refusal = new FileSystemException(name, null, reason);
    refusal.initCause(cause);
    return refusal;
  }

  private static FileSystemException notWritable(String name, IOException cause) {
    return refusal(
        name,
        "cannot be written (" + reason(cause) + "); expected a place where files can be created",
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
