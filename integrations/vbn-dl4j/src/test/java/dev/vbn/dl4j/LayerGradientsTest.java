package dev.vbn.dl4j;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.gradientcheck.GradientCheckUtil;
import org.deeplearning4j.gradientcheck.GradientCheckUtil.GraphConfig;
import org.deeplearning4j.gradientcheck.GradientCheckUtil.MLNConfig;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.NoOp;

/** DL4J's own check: the gradient of every parameter against differences of the loss. */
class LayerGradientsTest {
  private static final double STEP = 1e-6;
  private static final double RELATIVE_ERROR = 1e-5;
  private static final double NEGLIGIBLE = 1e-8;

  @BeforeAll
  static void computeIn64Bits() {
    Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE); // which the check asks for
  }

  @AfterAll
  static void computeIn32Bits() {
    Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
  }

  static List<Arguments> variantsAndFormats() {
    List<Arguments> all = new ArrayList<>();
    for (Variant variant : Variant.values()) {
      for (Format format : Format.values()) {
        all.add(Arguments.of(variant, format));
      }
    }
    return all;
  }

  private static MultiLayerNetwork network(
      Format format, VirtualBatchNormalization.Builder layer, @Nullable INDArray mask) {
    MultiLayerNetwork network = format.network(DataType.DOUBLE, new NoOp(), layer.build());
    VirtualBatchNormalization.refresh(
        network, new DataSet(format.batch(DataType.DOUBLE, 5, 1), null, mask, null));
    return network;
  }

  private static boolean agrees(MultiLayerNetwork network, Format format, @Nullable INDArray mask) {
    return GradientCheckUtil.checkGradients(new MLNConfig()
        .net(network)
        .input(format.batch(DataType.DOUBLE, 4, 2))
        .labels(format.labels(DataType.DOUBLE, 4))
        .inputMask(mask)
        .labelMask(null)
        .epsilon(STEP)
        .maxRelError(RELATIVE_ERROR)
        .minAbsoluteError(NEGLIGIBLE)
        .exitOnFirstError(true));
  }

  @ParameterizedTest
  @MethodSource("variantsAndFormats")
  void ofEveryVariantInEveryFormat(Variant variant, Format format) {
    MultiLayerNetwork network =
        network(format, new VirtualBatchNormalization.Builder().variant(variant), null);
    assertTrue(agrees(network, format, null));
  }

  @ParameterizedTest
  @EnumSource(Format.class)
  void inAGraph(Format format) {
    MultiLayerNetwork network =
        network(format, new VirtualBatchNormalization.Builder().variant(Variant.POOLED), null);
    assertTrue(GradientCheckUtil.checkGradients(new GraphConfig()
        .net(network.toComputationGraph())
        .inputs(new INDArray[] {format.batch(DataType.DOUBLE, 4, 2)})
        .labels(new INDArray[] {format.labels(DataType.DOUBLE, 4)})
        .epsilon(STEP)
        .maxRelError(RELATIVE_ERROR)
        .minAbsoluteError(NEGLIGIBLE)));
  }

  /** The check can fail: a reference that moves with the parameters is one that gradients miss. */
  @Test
  void theCheckSeesAGradientThatIsMissing() {
    Format format = Format.NCW;
    INDArray batch = format.batch(DataType.DOUBLE, 4, 2);
    boolean agrees = GradientCheckUtil.checkGradients(new MLNConfig()
        .net(network(format, new VirtualBatchNormalization.Builder(), null))
        .input(batch)
        .labels(format.labels(DataType.DOUBLE, 4))
        .epsilon(STEP)
        .maxRelError(RELATIVE_ERROR)
        .minAbsoluteError(NEGLIGIBLE)
        .exitOnFirstError(true)
        .callEachIter(network -> VirtualBatchNormalization.refresh(network, batch)));
    assertFalse(agrees);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void withoutGammaAndBeta(Variant variant) {
    VirtualBatchNormalization.Builder layer =
        new VirtualBatchNormalization.Builder().variant(variant).lockGammaBeta(true);
    assertTrue(agrees(network(Format.NCHW, layer, null), Format.NCHW, null));
  }

  /** Lengths of sequences, and rows of images. */
  @ParameterizedTest
  @MethodSource("variantsAndMaskedFormats")
  void ofWhatAMaskLeaves(Variant variant, Format format) {
    INDArray mask = format == Format.NCHW
        ? Nd4j.createFromArray(new double[][] {{1, 1, 0}, {1, 0, 0}, {1, 1, 1}, {0, 1, 1}})
            .reshape(4, 1, 3, 1)
        : Nd4j.createFromArray(
            new double[][] {{1, 1, 0, 0, 0}, {1, 1, 1, 1, 1}, {1, 0, 0, 0, 0}, {1, 1, 1, 1, 0}});
    MultiLayerNetwork network =
        network(format, new VirtualBatchNormalization.Builder().variant(variant), null);
    assertTrue(agrees(network, format, mask));
  }

  static List<Arguments> variantsAndMaskedFormats() {
    return variantsAndFormats().stream()
        .filter(each -> List.of(Format.NCW, Format.NWC, Format.NCHW).contains(each.get()[1]))
        .toList();
  }
}
