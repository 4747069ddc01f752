/** The backend of Virtual Batch Normalization on CUDA, through the NVIDIA driver alone. */
module dev.vbn.cuda {
  requires transitive dev.vbn.api;
  requires static org.jspecify;

  exports dev.vbn.cuda;

  provides dev.vbn.spi.VbnProvider with
      dev.vbn.cuda.CudaProvider;
}
