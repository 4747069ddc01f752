/** Backends of Virtual Batch Normalization that are programs in any language. */
module dev.vbn.process {
  requires transitive dev.vbn.api;
  requires dev.vbn.state;
  requires static org.jspecify;

  exports dev.vbn.process;

  provides dev.vbn.spi.VbnProvider with
      dev.vbn.process.ProcessProvider;
}
