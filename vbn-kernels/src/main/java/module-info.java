/** Virtual Batch Normalization of numbers in memory: plain Java, no dependency. */
module dev.vbn.kernels {
  requires transitive dev.vbn.api;
  requires static org.jspecify;

  exports dev.vbn.kernels;
}
