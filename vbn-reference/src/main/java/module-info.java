/** The reference backend of Virtual Batch Normalization: plain Java, no dependency. */
module dev.vbn.reference {
  requires dev.vbn.api;
  requires static org.jspecify;

  exports dev.vbn.reference;

  provides dev.vbn.spi.VbnProvider with
      dev.vbn.reference.ReferenceProvider;
}
