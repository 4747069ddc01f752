/** Virtual Batch Normalization: the API, and the SPI that backends implement. */
module dev.vbn.api {
  requires static org.jspecify;
  requires static com.google.guice;
  requires static jakarta.inject;

  exports dev.vbn;
  exports dev.vbn.tensor;
  exports dev.vbn.spi;
  exports dev.vbn.guice;

  uses dev.vbn.spi.VbnProvider;
}
