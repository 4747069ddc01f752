package dev.vbn.state;

import static java.util.Objects.requireNonNull;

import java.nio.file.Path;
import java.util.Locale;

/** The two formats of state files, told apart by the file's ending. */
enum TensorFileType {
  SAFETENSORS(".safetensors"),
  NPZ(".npz");

  private final String ending;

  TensorFileType(String ending) {
    this.ending = ending;
  }

  static TensorFileType of(Path file) {
    requireNonNull(file, "file is null; expected one that ends in .safetensors or .npz");
    String name = file.getFileName() == null ? "" : file.getFileName().toString();
    for (TensorFileType type : values()) {
      if (name.toLowerCase(Locale.ROOT).endsWith(type.ending)) {
        return type;
      }
    }
    throw new IllegalArgumentException(
        "file is '" + file + "'; expected one that ends in .safetensors or .npz");
  }
}
