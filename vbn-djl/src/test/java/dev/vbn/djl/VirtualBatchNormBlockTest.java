package dev.vbn.djl;

/** The block on PyTorch. */
final class VirtualBatchNormBlockTest extends BlockBehavior {
  VirtualBatchNormBlockTest() {
    super("PyTorch");
  }
}
