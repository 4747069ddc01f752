/** Tensors of Virtual Batch Normalization in NumPy's files. */
module dev.vbn.state {
  requires transitive dev.vbn.api;

  exports dev.vbn.state;
}
