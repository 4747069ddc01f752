package dev.vbn.state;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.Locale;
import java.util.function.Predicate;

/**
 * The two formats in which state files are written, told apart by the ending of the file's name.
 * State dicts of PyTorch are read too: see {@link StateDict}.
 */
public enum TensorFileType {
  /** {@link Safetensors}, {@code .safetensors}. */
  SAFETENSORS(".safetensors"),
  /** NumPy's {@link Npz}, {@code .npz}. */
  NPZ(".npz");

  private final String ending;

  TensorFileType(String ending) {
    this.ending = ending;
  }

  /**
   * The format of a file of that name.
   *
   * @throws IllegalArgumentException if it ends in neither {@code .safetensors} nor {@code .npz}
   */
  public static TensorFileType of(Path file) {
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

  /**
   * Writes to a stream, which stays open. The same content gives the same bytes.
   *
   * @throws IOException if the stream cannot be written
   */
  public void write(OutputStream out, NamedTensors content) throws IOException {
    switch (this) {
      case SAFETENSORS -> Safetensors.write(out, content);
      case NPZ -> Npz.write(out, content);
    }
  }

  /**
   * Reads what is wanted from a file of any format; the predicate is asked about every tensor.
   *
   * @throws IllegalArgumentException if the file's name ends as none of them does
   */
  static NamedTensors read(Path file, Predicate<String> wanted) throws IOException {
    requireNonNull(file, "file is null; expected one that ends in .safetensors, .npz, .pt or .pth");
    if (StateDict.isNamed(file)) {
      return StateDict.read(file, wanted);
    }
    TensorFileType type;
    try {
      type = of(file);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          "file is '" + file + "'; expected one that ends in .safetensors, .npz, .pt or .pth", e);
    }
    return switch (type) {
      case SAFETENSORS -> Safetensors.read(file, wanted);
      case NPZ -> {
        Npz npz = Npz.read(file, wanted);
        yield new NamedTensors(npz.tensors(), npz.strings());
      }
    };
  }
}
