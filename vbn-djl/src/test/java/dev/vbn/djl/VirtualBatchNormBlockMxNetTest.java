package dev.vbn.djl;

/** The block on MXNet. */
final class VirtualBatchNormBlockMxNetTest extends BlockBehavior {
  VirtualBatchNormBlockMxNetTest() {
    super("MXNet");
  }
}
