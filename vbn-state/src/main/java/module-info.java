/** Tensors of Virtual Batch Normalization in NumPy's files. */
module dev.vbn.state {
  requires transitive dev.vbn.api;
  requires static org.jspecify;

  exports dev.vbn.state;
}
