package dev.vbn.examples.segan;

import ai.djl.ndarray.NDArray;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.Blocks;
import ai.djl.nn.Parameter;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.util.Pair;
import dev.vbn.djl.VirtualBatchNormBlock;
import dev.vbn.state.LayerState;
import dev.vbn.state.NamedTensors;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Tells pairs of clean and noisy speech from those of enhanced and noisy: convolutions, each to a
 * quarter of the length, normalised and activated, and a number for each pair.
 */
final class Discriminator {
  static final int LAYERS = 4;
  static final int KERNEL = 31;
  static final float SLOPE = 0.3f;

  /** What the names of its tensors begin with in a file. */
  static final String PREFIX = "discriminator.";

  private final List<Block> convolutions = new ArrayList<>();
  private final List<Block> norms = new ArrayList<>();
  private final Block linear = Linear.builder().setUnits(1).build();
  private final SequentialBlock network = new SequentialBlock();

  Discriminator(int width, DiscriminatorNorm norm) {
    for (int i = 0; i < LAYERS; i++) {
      convolutions.add(Generator.convolution(width << Math.min(i, 2), KERNEL, Generator.STRIDE));
      norms.add(norm.block());
      network.add(convolutions.get(i)).add(norms.get(i)).add(Activation.leakyReluBlock(SLOPE));
    }
    network.add(Blocks.batchFlattenBlock()).add(linear);
  }

  Block network() {
    return network;
  }

  /** All that it is, if it has virtual batch norm or none. */
  NamedTensors state() {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    Map<String, String> texts = new LinkedHashMap<>();
    for (int i = 0; i < LAYERS; i++) {
      put(tensors, PREFIX + "conv" + (i + 1) + ".", convolutions.get(i));
      if (norms.get(i) instanceof VirtualBatchNormBlock block) {
        LayerState layer = block.state();
        String prefix = PREFIX + "vbn" + (i + 1) + ".";
        layer.content().tensors().forEach((name, tensor) -> tensors.put(prefix + name, tensor));
        layer.content().texts().forEach((name, text) -> texts.put(prefix + name, text));
      }
    }
    put(tensors, PREFIX + "linear.", linear);
    return new NamedTensors(tensors, texts);
  }

  static void put(Map<String, HostTensor> tensors, String prefix, Block block) {
    for (Pair<String, Parameter> named : block.getDirectParameters()) {
      NDArray array = named.getValue().getArray();
      tensors.put(
          prefix + named.getKey(),
          HostTensor.of(array.toFloatArray(), array.getShape().getShape()));
    }
  }
}
