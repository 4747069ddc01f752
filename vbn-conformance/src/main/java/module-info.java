/** The conformance kit of Virtual Batch Normalization, and the command line. */
module dev.vbn.conformance {
  requires transitive dev.vbn.api;
  requires transitive org.junit.jupiter.api;
  requires org.junit.jupiter.params;

  exports dev.vbn.conformance;
  exports dev.vbn.npy;

  opens dev.vbn.conformance to
      org.junit.platform.commons;
}
