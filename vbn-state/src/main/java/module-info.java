/** Layers and tensors of Virtual Batch Normalization in safetensors and NumPy files. */
module dev.vbn.state {
  requires transitive dev.vbn.api;
  requires com.fasterxml.jackson.core;
  requires static org.jspecify;

  exports dev.vbn.state;
}
