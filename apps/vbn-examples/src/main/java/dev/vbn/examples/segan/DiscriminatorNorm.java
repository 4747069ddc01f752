package dev.vbn.examples.segan;

import ai.djl.nn.Block;
import ai.djl.nn.Blocks;
import ai.djl.nn.norm.BatchNorm;
import dev.vbn.djl.VirtualBatchNormBlock;

/** How the discriminator normalises what its convolutions hand on. */
enum DiscriminatorNorm {
  /** As in SEGAN. */
  VIRTUAL("virtual batch norm") {
    @Override
    Block block() {
      return VirtualBatchNormBlock.builder().build();
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

  DiscriminatorNorm(String label) {
    this.label = label;
  }

  String label() {
    return label;
  }

  /** In names of files. */
  String fileName() {
    return label.replace(' ', '-');
  }

  abstract Block block();
}
