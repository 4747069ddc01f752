/** The conformance kit of Virtual Batch Normalization, and the command line. */
module dev.vbn.conformance {
  requires transitive dev.vbn.api;
  requires transitive org.junit.jupiter.api;
  requires org.junit.jupiter.params;

  // Only for the command line.
  requires static info.picocli;
  requires static java.desktop;
  requires static org.junit.platform.launcher;
  requires static org.junit.platform.reporting;

  exports dev.vbn.conformance;
  exports dev.vbn.npy;

  opens dev.vbn.conformance to
      org.junit.platform.commons;
  opens dev.vbn.cli to
      info.picocli;
}
