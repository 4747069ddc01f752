package dev.vbn.state;

import dev.vbn.tensor.HostTensor;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a file of tensors holds: tensors by name, and texts by key for what is not a tensor. Both in
 * the order of the file; neither can be changed.
 *
 * @param tensors tensors by name
 * @param texts texts by key
 */
public record NamedTensors(Map<String, HostTensor> tensors, Map<String, String> texts) {

  /** Copies both maps. */
  public NamedTensors {
    tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    texts = Collections.unmodifiableMap(new LinkedHashMap<>(texts));
  }
}
