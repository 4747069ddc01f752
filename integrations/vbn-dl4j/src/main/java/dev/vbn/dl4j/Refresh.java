package dev.vbn.dl4j;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VirtualBatchNorm;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.layers.FrozenLayer;
import org.deeplearning4j.nn.layers.FrozenLayerWithBackprop;
import org.deeplearning4j.nn.layers.wrapper.BaseWrapperLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.DataSet;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;

/**
 * The reference passes of a network. Each layer normalises the reference batch by that batch's own
 * statistics, and hands the result on. If the batch comes whole, one pass does for all layers. If it
 * comes in parts, the statistics of a layer are known when all parts have passed, and only then does
 * the next layer get to see what it is to measure: that takes a pass for each.
 */
final class Refresh {
  private final Model network;

  /** Those whose statistics are not known yet. */
  private final Set<Measurement> open = new LinkedHashSet<>();

  /** Those of them that the batch has reached in this pass, in this order. */
  private final Set<Measurement> reached = new LinkedHashSet<>();

  private Refresh(Model network) {
    this.network = network;
    VirtualBatchNormLayer.allLayersOf(network).forEach((name, layer) -> {
      VirtualBatchNormLayer inside = VirtualBatchNormLayer.inside(layer);
      if (inside != null && !isFrozen(layer)) {
        open.add(new Measurement(name, inside));
      }
    });
    if (open.isEmpty()) {
      throw new IllegalArgumentException(
          "the network has no layer of VirtualBatchNormalization that"
              + " is not frozen; expected at least one");
    }
  }

  private static boolean isFrozen(Layer layer) {
    return layer instanceof FrozenLayer
        || layer instanceof FrozenLayerWithBackprop
        || (layer instanceof BaseWrapperLayer wrapper && isFrozen(wrapper.getUnderlying()));
  }

  static void of(Model network, INDArray[] inputs, INDArray @Nullable [] masks) {
    Batch whole = new Batch(inputs, masks);
    new Refresh(network).run(pass -> pass.accept(whole));
  }

  static void of(Model network, DataSet reference) {
    Batch whole = Batch.of(reference);
    new Refresh(network).run(pass -> pass.accept(whole));
  }

  static void of(Model network, DataSetIterator reference) {
    new Refresh(network).run(pass -> {
      restart(reference, reference.resetSupported(), reference::reset);
      reference.forEachRemaining(part -> pass.accept(Batch.of(part)));
    });
  }

  static void of(Model network, MultiDataSetIterator reference) {
    new Refresh(network).run(pass -> {
      restart(reference, reference.resetSupported(), reference::reset);
      reference.forEachRemaining(part -> pass.accept(Batch.of(part)));
    });
  }

  private static void restart(Iterator<?> reference, boolean resettable, Runnable reset) {
    if (resettable) {
      reset.run();
    }
    if (!reference.hasNext()) {
      throw new IllegalArgumentException("the iterator of the reference has no batch"
          + (resettable
              ? "; expected at least one"
              : " left and cannot be reset; expected one that can, or one array for the whole"));
    }
  }

  /** The reference batch, which is handed over anew for each pass, whole or in parts. */
  private interface Reference {
    void forEach(Consumer<Batch> pass);
  }

  private void run(Reference reference) {
    List<Measurement> all = List.copyOf(open);
    all.forEach(each -> each.layer.measure(each));
    try {
      while (!open.isEmpty()) {
        reached.clear();
        int[] parts = {0};
        reference.forEach(part -> {
          parts[0]++;
          part.through(network);
        });
        requireReached();
        List<Measurement> known = parts[0] == 1
            ? List.copyOf(open)
            : List.of(reached.iterator().next()); // whose input came from none that is open
        known.forEach(each -> each.isKnown = true);
        known.forEach(open::remove);
      }
      all.forEach(Measurement::keep);
    } finally {
      all.forEach(each -> each.layer.measure(null));
    }
  }

  private void requireReached() {
    for (Measurement each : open) {
      if (!reached.contains(each)) {
        throw new IllegalStateException("layer '" + each.name
            + "' was not reached by the reference batch; expected a pass through every layer of"
            + " VirtualBatchNormalization");
      }
    }
  }

  /** Arrays for the inputs of a network, and their masks. */
  private record Batch(INDArray[] inputs, INDArray @Nullable [] masks) {
    static Batch of(DataSet part) {
      return new Batch(
          new INDArray[] {part.getFeatures()}, new INDArray[] {part.getFeaturesMaskArray()});
    }

    static Batch of(MultiDataSet part) {
      return new Batch(part.getFeatures(), part.getFeaturesMaskArrays());
    }

    void through(Model network) {
      if (network instanceof ComputationGraph graph) {
        graph.output(false, inputs, masks);
      } else if (network instanceof MultiLayerNetwork layers) {
        if (inputs.length != 1) {
          throw new IllegalArgumentException("the reference batch has " + inputs.length
              + " inputs; expected one for a MultiLayerNetwork");
        }
        layers.output(inputs[0], false, masks == null ? null : masks[0], null);
      }
    }
  }

  /** What a layer learns of the reference batch. */
  final class Measurement {
    private final String name;
    private final VirtualBatchNormLayer layer;
    private @Nullable ReferenceMoments moments;
    private boolean isKnown;

    Measurement(String name, VirtualBatchNormLayer layer) {
      this.name = name;
      this.layer = layer;
    }

    /**
     * Normalises a part of the reference batch by the statistics of the whole, or of itself as long as
     * those are not known.
     *
     * @param norm the layer as it is, for this part
     * @param y takes the output
     */
    void pass(VirtualBatchNorm<INDArray> norm, INDArray x, INDArray y) {
      VirtualBatchNorm<INDArray> byReference = norm.withVariant(Variant.REFERENCE_ONLY);
      try (ReferenceStatistics<INDArray> statistics = statistics(norm, x)) {
        byReference.forwardInto(y, x, statistics).close();
      }
    }

    private ReferenceStatistics<INDArray> statistics(VirtualBatchNorm<INDArray> norm, INDArray x) {
      if (isKnown && moments != null) {
        return ReferenceStatistics.of(norm.backend(), moments);
      }
      ReferenceStatistics<INDArray> own = norm.referenceStatistics(x);
      boolean isFirst = reached.add(this);
      moments = isFirst || moments == null ? own.moments() : moments.merge(own.moments());
      return own;
    }

    void keep() {
      layer.layerConf().setReference(moments);
    }
  }
}
