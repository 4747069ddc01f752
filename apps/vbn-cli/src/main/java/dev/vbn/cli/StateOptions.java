package dev.vbn.cli;

import dev.vbn.Variant;
import dev.vbn.state.LayerState;
import dev.vbn.state.NpyException;
import dev.vbn.state.StateException;
import dev.vbn.state.StateNames;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** A file that holds a layer, in place of options that give its parts one by one. */
final class StateOptions {
  static final String OPTION = "--state";

  @Option(
      names = OPTION,
      paramLabel = "FILE",
      description =
          "State of the layer, a .safetensors or .npz file or a state dict of PyTorch (.pt, .pth): gamma,"
              + " beta, statistics of the reference batch, variant, epsilon and feature axis. Where it has gamma, beta or the"
              + " statistics, the option --gamma, --beta or --reference is refused. --variant,"
              + " --epsilon and --feature-axis win over what it says.")
  private @Nullable Path file;

  @Option(
      names = "--prefix",
      paramLabel = "PREFIX",
      description =
          "What the names of this layer begin with in FILE, such as 'vbn1.'. Default: nothing.")
  private @Nullable String prefix;

  @Option(
      names = "--names",
      paramLabel = "PART=NAME,...",
      description =
          "Names in FILE, behind the prefix, of parts that are not named there as VBN does: gamma,"
              + " beta, reference_mean, reference_variance or reference_mean_square,"
              + " reference_examples, reference_elements, variant, epsilon, feature_axis.")
  private @Nullable String names;

  /** The file; null where none is given. */
  @Nullable
  Path file() {
    return file;
  }

  /** How messages name it. */
  String given() {
    return OPTION + " " + file;
  }

  /**
   * Reads the layer; null where no file is given.
   *
   * @param variant that an option gives; null for the file's
   */
  @Nullable
  LayerState read(@Nullable Variant variant) {
    Path state = file;
    if (state == null) {
      if (prefix != null || names != null) {
        throw new BadInputException((prefix != null ? "--prefix" : "--names") + " is given without "
            + OPTION + "; expected the file that it is about");
      }
      return null;
    }
    if (!Files.exists(state)) {
      throw new BadInputException(given() + ": no such file; expected a state file");
    }
    if (Files.isDirectory(state)) {
      throw new BadInputException(given() + ": is a directory; expected a state file");
    }
    StateNames known = stateNames();
    try {
      return LayerState.load(state, known, variant);
    } catch (IllegalArgumentException e) { // another ending
      throw new BadInputException(OPTION + ": " + e.getMessage(), e);
    } catch (StateException | NpyException e) {
      throw new BadInputException(OPTION + " " + e.getMessage(), e); // which names the file
    } catch (IOException e) {
      throw new BadInputException(
          given() + ": cannot be read (" + e.getClass().getSimpleName()
              + "); expected a readable state file",
          e);
    }
  }

  private StateNames stateNames() {
    StateNames known = StateNames.known();
    known = prefix == null ? known : known.withPrefix(prefix);
    if (names == null) {
      return known;
    }
    Set<String> parts = new HashSet<>();
    for (String pair : names.split(",", -1)) {
      int equals = pair.indexOf('=');
      if (equals < 1 || equals == pair.length() - 1) {
        throw new BadInputException("--names: '" + pair + "' is no name of a part; expected such"
            + " as gamma=weight,beta=bias");
      }
      String part = pair.substring(0, equals);
      if (!parts.add(part)) {
        throw new BadInputException("--names: names " + part + " twice; expected one name of it");
      }
      StateNames before = known;
      known =
          LayerOptions.accepted("--names: ", () -> before.with(part, pair.substring(equals + 1)));
    }
    return known;
  }
}
