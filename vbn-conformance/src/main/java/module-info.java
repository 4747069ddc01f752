/** The conformance kit of Virtual Batch Normalization. */
module dev.vbn.conformance {
  requires transitive dev.vbn.api;
  requires transitive org.junit.jupiter.api;
  requires dev.vbn.state;
  requires org.junit.jupiter.params;
  requires static org.jspecify;

  exports dev.vbn.conformance;

  opens dev.vbn.conformance to
      org.junit.platform.commons;
}
