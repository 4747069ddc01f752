package dev.vbn.examples.gan;

import ai.djl.nn.Block;
import ai.djl.nn.Blocks;
import ai.djl.nn.norm.BatchNorm;
import dev.vbn.Variant;
import dev.vbn.djl.VirtualBatchNormBlock;
import dev.vbn.spi.ReferenceGradient;

/** How the generator normalises what its layers hand on. */
enum GeneratorNorm {
  /** As in the paper: per example, and gradients flow through the reference batch. */
  VIRTUAL("virtual batch norm") {
    @Override
    Block block() {
      return VirtualBatchNormBlock.builder()
          .optVariant(Variant.PER_EXAMPLE)
          .optReferenceGradient(ReferenceGradient.ATTACHED)
          .build();
    }
  },
  BATCH("batch norm") {
    @Override
    Block block() {
      return BatchNorm.builder().build();
    }
  },
  NONE("no normalization") {
    @Override
    Block block() {
      return Blocks.identityBlock();
    }
  };

  private final String label;

  GeneratorNorm(String label) {
    this.label = label;
  }

  String label() {
    return label;
  }

  abstract Block block();
}
