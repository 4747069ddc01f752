package dev.vbn.testing;

import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.List;

/**
 * A tensor of a library of its own.
 *
 * @param host what it holds
 */
public record Boxed(HostTensor host) {
  /** A tensor type with an argument. */
  public static final TensorType<List<Boxed>> LIST = new TensorType<>() {};
}
