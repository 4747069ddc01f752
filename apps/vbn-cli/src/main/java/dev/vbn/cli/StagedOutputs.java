package dev.vbn.cli;

import dev.vbn.state.StagedFiles;
import dev.vbn.state.StagedFiles.StagedFile;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;

/** The files that a command writes: one that cannot be written is bad input, by its option. */
public final class StagedOutputs implements AutoCloseable {
  private final StagedFiles files = new StagedFiles();

  /** Nothing claimed yet. */
  public StagedOutputs() {}

  /** Claims a target, before anything is computed for it. */
  public StagedFile stage(String option, Path file) {
    try {
      return files.stage(option, file);
    } catch (FileSystemException e) {
      throw new BadInputException(String.valueOf(e.getMessage()), e);
    }
  }

  /** Makes a directory, if it is missing; it stays only if the files are committed. */
  public void makeDirectory(String option, Path directory) {
    try {
      files.makeDirectory(option, directory);
    } catch (FileSystemException e) {
      throw new BadInputException(String.valueOf(e.getMessage()), e);
    }
  }

  /** Moves every file to its target. */
  public void commit() throws IOException {
    files.commit();
  }

  @Override
  public void close() {
    files.close();
  }
}
