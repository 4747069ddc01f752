/** The reference backend of Virtual Batch Normalization: plain arrays. */
module dev.vbn.reference {
  requires dev.vbn.api;
  requires dev.vbn.kernels;
  requires static org.jspecify;

  exports dev.vbn.reference;

  provides dev.vbn.spi.VbnProvider with
      dev.vbn.reference.ReferenceProvider;
}
