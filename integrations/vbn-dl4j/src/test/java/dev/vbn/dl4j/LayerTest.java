package dev.vbn.dl4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Map;
import org.deeplearning4j.exception.DL4JInvalidConfigException;
import org.deeplearning4j.exception.DL4JInvalidInputException;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;

/** One layer, next to the same one of the reference backend. */
class LayerTest {
  private static final float NONE = Float.NaN;

  private static MultiLayerNetwork only(DataType type, InputType input, Layer layer) {
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .seed(7)
        .dataType(type)
        .list()
        .layer(layer)
        .setInputType(input)
        .build());
    network.init();
    return network;
  }

  private static VirtualBatchNormLayer layer(MultiLayerNetwork network) {
    return VirtualBatchNormLayer.layersOf(network).get("layer0");
  }

  private static double[] doubles(INDArray array) {
    return array.dup('c').data().asDouble();
  }

  private static HostTensor host(INDArray array) {
    return array.dataType() == DataType.DOUBLE
        ? HostTensor.of(doubles(array), array.shape())
        : HostTensor.of(array.dup('c').data().asFloat(), array.shape());
  }

  /** By the layer's state on another backend. */
  private static double[] expected(LayerState state, Variant variant, INDArray x, Mask mask) {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider());
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> statistics = state.statistics(backend);
        Output<HostTensor> y =
            layer.withVariant(variant).withMask(mask).forward(host(x), statistics)) {
      return y.output().toDoubles();
    }
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.dl4j.LayerGradientsTest#variantsAndFormats")
  void computesWhatOtherBackendsDo(Variant variant, Format format) {
    MultiLayerNetwork network = only(
        DataType.FLOAT,
        format.type,
        new VirtualBatchNormalization.Builder().variant(variant).eps(0.5).build());
    INDArray reference = format.batch(DataType.FLOAT, 5, 1);
    VirtualBatchNormalization.refresh(network, reference);
    LayerState state = layer(network).state();
    assertEquals(
        VbnConfig.of(Format.CHANNELS)
            .withVariant(variant)
            .withEpsilon(0.5)
            .withFeatureAxis(format.featureAxis),
        state.config());
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider());
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(host(reference))) {
      ReferenceMoments expected = statistics.moments();
      assertArrayEquals(expected.mean(), state.reference().mean(), 1e-14);
      assertArrayEquals(expected.variance(), state.reference().variance(), 1e-13);
      assertEquals(expected.examples(), state.reference().examples());
      assertEquals(expected.elements(), state.reference().elements());
    }

    INDArray x = format.batch(DataType.FLOAT, 4, 2);
    INDArray y = network.output(x);

    assertEquals(DataType.FLOAT, y.dataType());
    assertArrayEquals(x.shape(), y.shape());
    assertArrayEquals(expected(state, variant, x, null), doubles(y), 1e-5);
  }

  /** Whatever the order and the strides of the input. */
  @Test
  void readsViewsAndFortranOrder() {
    MultiLayerNetwork network =
        only(DataType.FLOAT, Format.NCHW.type, new VirtualBatchNormalization());
    INDArray batch = Format.NCHW.batch(DataType.FLOAT, 4, 2);
    VirtualBatchNormalization.refresh(network, batch.dup('f'));
    double[] expected = doubles(network.output(batch));
    assertArrayEquals(expected, doubles(network.output(batch.dup('f'))));
    INDArray strided = Format.NHWC.batch(DataType.FLOAT, 4, 2).assign(0).permute(0, 3, 1, 2);
    strided.assign(batch);
    assertArrayEquals(expected, doubles(network.output(strided)));
  }

  /** A network of 32 bits, and a mean that they do not hold. */
  @Test
  void statisticsHave64BitsInANetworkOf32() {
    ReferenceMoments moments =
        ReferenceMoments.of(new double[] {0.1, 1e9 + 1}, new double[] {1.0 / 3, 2}, 5, 7);
    MultiLayerNetwork network = only(
        DataType.FLOAT,
        InputType.feedForward(2),
        new VirtualBatchNormalization.Builder()
            .reference(moments)
            .variant(Variant.REFERENCE_ONLY)
            .lockGammaBeta(true)
            .eps(1)
            .build());
    assertEquals(moments, layer(network).referenceMoments());
    INDArray x = Nd4j.createFromArray(new float[][] {{0, 1e9f}});
    double[] expected = {-0.1 / Math.sqrt(4.0 / 3), -1 / Math.sqrt(3)};
    assertArrayEquals(expected, doubles(network.output(x)), 1e-7);
  }

  /** DL4J has no networks of BFLOAT16. */
  @Test
  void networksOf16Bits() {
    MultiLayerNetwork network = only(
        DataType.FLOAT16,
        InputType.feedForward(Format.CHANNELS),
        new VirtualBatchNormalization.Builder().variant(Variant.POOLED).build());
    VirtualBatchNormalization.refresh(network, Format.FF.batch(DataType.FLOAT16, 5, 1));
    INDArray x = Format.FF.batch(DataType.FLOAT16, 4, 2);
    INDArray y = network.output(x);
    assertEquals(DataType.FLOAT16, y.dataType());
    assertArrayEquals(
        expected(layer(network).state(), Variant.POOLED, x.castTo(DataType.FLOAT), null),
        doubles(y),
        2e-3);
  }

  @Test
  void servesByAnotherVariantThanItTrains() {
    MultiLayerNetwork network = only(
        DataType.DOUBLE,
        Format.NCW.type,
        new VirtualBatchNormalization.Builder()
            .variant(Variant.POOLED)
            .servingVariant(Variant.REFERENCE_ONLY)
            .build());
    VirtualBatchNormalization.refresh(network, Format.NCW.batch(DataType.DOUBLE, 5, 1));
    INDArray x = Format.NCW.batch(DataType.DOUBLE, 4, 2);
    LayerState state = layer(network).state();
    assertEquals(Variant.POOLED, state.config().variant());
    assertArrayEquals(
        expected(state, Variant.REFERENCE_ONLY, x, null), doubles(network.output(x)), 1e-13);
    assertArrayEquals(
        expected(state, Variant.POOLED, x, null), doubles(network.output(x, true)), 1e-13);
    VirtualBatchNormalization.setServingVariant(network, Variant.PER_EXAMPLE);
    assertArrayEquals(
        expected(state, Variant.PER_EXAMPLE, x, null), doubles(network.output(x)), 1e-13);
    VirtualBatchNormalization.setServingVariant(network, null);
    assertArrayEquals(expected(state, Variant.POOLED, x, null), doubles(network.output(x)), 1e-13);
  }

  /** Lengths of sequences; padding is NaN, and the reference batch is padded too. */
  @ParameterizedTest
  @MethodSource("dev.vbn.dl4j.LayerGradientsTest#variantsAndMaskedFormats")
  void whatAMaskLeavesOutHasNoEffect(Variant variant, Format format) {
    boolean image = format == Format.NCHW;
    float[][] counts = image
        ? new float[][] {{1, 1, 0}, {0, 0, 0}, {1, 1, 1}}
        : new float[][] {{1, 1, 0, 0, 0}, {0, 0, 0, 0, 0}, {1, 1, 1, 1, 1}};
    INDArray mask = Nd4j.createFromArray(counts);
    boolean[] each = new boolean[image ? 3 * 3 * 4 : 3 * 5];
    for (int i = 0; i < each.length; i++) {
      int row = image ? i / 4 : i;
      each[i] = counts[row / counts[0].length][row % counts[0].length] != 0;
    }
    Mask same = image ? Mask.of(each, 3, 3, 4) : Mask.of(each, 3, 5);
    if (image) {
      mask = mask.reshape(3, 1, 3, 1);
    }
    MultiLayerNetwork network = only(
        DataType.DOUBLE,
        format.type,
        new VirtualBatchNormalization.Builder().variant(variant).build());
    INDArray reference = padded(format, format.batch(DataType.DOUBLE, 3, 1), counts);
    VirtualBatchNormalization.refresh(network, new DataSet(reference, null, mask, null));
    assertEquals(2, layer(network).referenceMoments().examples());
    assertEquals(image ? 5 * 4 : 7, layer(network).referenceMoments().elements());

    INDArray x = padded(format, format.batch(DataType.DOUBLE, 3, 2), counts);
    INDArray y = network.output(x, false, mask, null);

    double[] expected = expected(layer(network).state(), variant, x, same);
    assertArrayEquals(expected, doubles(y), 1e-12);
    assertEquals(0, y.slice(1).amaxNumber().doubleValue());
    INDArray unmasked = network.output(x).slice(1);
    assertTrue(Double.isNaN(doubles(unmasked)[0]), "the mask of one call is not the next's");
  }

  private static INDArray padded(Format format, INDArray batch, float[][] counts) {
    for (int example = 0; example < counts.length; example++) {
      for (int place = 0; place < counts[example].length; place++) {
        if (counts[example][place] == 0) {
          INDArray slice = batch.slice(example);
          (format == Format.NWC ? slice.getRow(place) : slice.slice(place, 1)).assign(NONE);
        }
      }
    }
    return batch;
  }

  /** DL4J hands masks on as passive there, and padding is padding still. */
  @Test
  void masksBehindRecurrentLayers() {
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .seed(7)
        .list()
        .layer(new LSTM.Builder().nOut(3).build())
        .layer(new VirtualBatchNormalization())
        .setInputType(Format.NCW.type)
        .build());
    network.init();
    INDArray mask = Nd4j.createFromArray(new float[][] {{1, 1, 0, 0, 0}, {1, 1, 1, 1, 1}});
    INDArray x = Format.NCW.batch(DataType.FLOAT, 2, 1);
    VirtualBatchNormalization.refresh(network, new DataSet(x, null, mask, null));
    VirtualBatchNormLayer layer = VirtualBatchNormLayer.layersOf(network).get("layer1");
    assertEquals(7, layer.referenceMoments().elements());
    INDArray y = network.output(x, false, mask, null);
    for (int place = 0; place < 5; place++) {
      boolean padding = y.slice(0).getColumn(place).amaxNumber().doubleValue() == 0;
      assertEquals(place >= 2, padding);
    }
  }

  @Test
  void masksOfExamples() {
    MultiLayerNetwork network = only(
        DataType.DOUBLE,
        Format.FF.type,
        new VirtualBatchNormalization.Builder().variant(Variant.BATCH).build());
    VirtualBatchNormalization.refresh(network, Format.FF.batch(DataType.DOUBLE, 5, 1));
    INDArray x = Format.FF.batch(DataType.DOUBLE, 3, 2);
    x.getRow(1).assign(NONE);
    INDArray mask = Nd4j.createFromArray(new float[][] {{1}, {0}, {1}});
    assertArrayEquals(
        expected(
            layer(network).state(),
            Variant.BATCH,
            x,
            Mask.of(new boolean[] {true, false, true}, 3)),
        doubles(network.output(x, false, mask, null)),
        1e-13);
  }

  @Test
  void aMaskThatDoesNotFitIsRefused() {
    MultiLayerNetwork network =
        only(DataType.FLOAT, Format.NCW.type, new VirtualBatchNormalization());
    INDArray x = Format.NCW.batch(DataType.FLOAT, 4, 1);
    VirtualBatchNormalization.refresh(network, x);
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class,
        () -> network.output(x, false, Nd4j.ones(DataType.FLOAT, 4, 4), null));
    assertEquals(
        "features mask has shape [4, 4]; expected one for a batch of shape [4, 6, 5]: [4, 5], or"
            + " [4, 1, ...] of its rank",
        e.getMessage());
    IllegalArgumentException none = assertThrows(
        IllegalArgumentException.class,
        () -> network.output(x, false, Nd4j.zeros(DataType.FLOAT, 4, 5), null));
    assertTrue(none.getMessage().contains("nothing"), none::getMessage);
  }

  @Test
  void refusesWithAllThatTheUserNeedsToKnow() {
    MultiLayerNetwork network =
        only(DataType.FLOAT, Format.NHWC.type, new VirtualBatchNormalization.Builder().build());
    INDArray x = Format.NHWC.batch(DataType.FLOAT, 4, 1);
    assertRefused(
        IllegalStateException.class,
        () -> network.output(x),
        "layer has no reference; expected VirtualBatchNormalization.refresh(network,"
            + " referenceBatch) first (layer name: layer0, layer index: 0, layer type:"
            + " VirtualBatchNormLayer)");
    assertRefused(
        DL4JInvalidInputException.class,
        () -> VirtualBatchNormalization.refresh(network, x.permute(0, 3, 1, 2)),
        "input has shape [4, 6, 3, 4]; expected rank 2 to 5 and 6 features on axis -1");
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(network).setReference(ReferenceMoments.of(new double[1], new double[1])),
        "moments are of 1 features; expected 6, as layer 'layer0' has");
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(network).setReference(ReferenceMoments.empty(6)),
        "moments are of no example");
    VirtualBatchNormalization.Builder builder = new VirtualBatchNormalization.Builder();
    assertRefused(
        IllegalArgumentException.class,
        () -> builder.activation(Activation.RELU),
        "activation is RELU; expected none, and an ActivationLayer after this layer");
    assertRefused(
        IllegalArgumentException.class, () -> builder.eps(0), "epsilon is 0.0; expected a finite");
    assertRefused(
        IllegalArgumentException.class,
        () -> new VirtualBatchNormalization.Builder().nIn(3).nOut(4).build(),
        "nIn is 3 and nOut 4; expected one number of features");
    assertRefused(
        DL4JInvalidConfigException.class,
        () -> new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .list()
                .layer(new VirtualBatchNormalization())
                .build())
            .init(),
        "VirtualBatchNormalization (index=0, name=layer0) nOut=0; nOut must be > 0");
    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNormLayer.layersOf(layer(network)),
        "the network is a dev.vbn.dl4j.VirtualBatchNormLayer; expected a MultiLayerNetwork or");
  }

  private static void assertRefused(
      Class<? extends Exception> type, Executable call, String start) {
    Exception e = assertThrows(type, call);
    assertTrue(String.valueOf(e.getMessage()).startsWith(start), e::getMessage);
  }

  /** A network without an input type says the number of features, and the format. */
  @Test
  void withoutAnInputType() {
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .dataType(DataType.DOUBLE)
        .list()
        .layer(new VirtualBatchNormalization.Builder()
            .nOut(Format.CHANNELS)
            .dataFormat(CNN2DFormat.NHWC)
            .build())
        .build());
    network.init();
    INDArray x = Format.NHWC.batch(DataType.DOUBLE, 4, 1);
    VirtualBatchNormalization.refresh(network, x);
    assertArrayEquals(
        expected(layer(network).state(), Variant.LIVE_BATCH, x, null),
        doubles(network.output(x)),
        1e-13);
  }

  /** Rows of pixels are images to the layer, as they are to a convolution. */
  @Test
  void flatImages() {
    MultiLayerNetwork network = only(
        DataType.DOUBLE,
        InputType.convolutionalFlat(3, 4, Format.CHANNELS),
        new VirtualBatchNormalization());
    INDArray x = Format.NCHW.batch(DataType.DOUBLE, 4, 1);
    VirtualBatchNormalization.refresh(network, x.reshape(4, 72));
    assertArrayEquals(
        expected(layer(network).state(), Variant.LIVE_BATCH, x, null),
        doubles(network.output(x.reshape(4, 72))),
        1e-13);
  }

  /** Of a layer of another backend, and back. */
  @Test
  void takesAStateAndHandsOneOut() {
    MultiLayerNetwork network =
        only(DataType.FLOAT, InputType.feedForward(2), new VirtualBatchNormalization());
    assertNull(layer(network).state().reference());
    LayerState given = new LayerState(
        VbnConfig.of(2),
        HostTensor.of(new double[] {1.0 / 3, 2}, 2),
        HostTensor.of(new float[] {3, 4}, 2),
        ReferenceMoments.of(new double[] {5, 1.0 / 7}, new double[] {6, 7}, 8, 9));
    layer(network).setState(given);
    LayerState state = layer(network).state();
    assertEquals(given.reference(), state.reference());
    assertArrayEquals(new float[] {1f / 3, 2}, state.gamma().floats());
    assertArrayEquals(new float[] {3, 4}, state.beta().floats());
    assertArrayEquals(
        new float[] {1f / 3, 2, 3, 4}, network.params().data().asFloat(), "in the network's own");

    LayerState other = given.withConfig(given.config().withVariant(Variant.BATCH));
    assertRefused(
        IllegalArgumentException.class, () -> layer(network).setState(other), "the state has Vbn");
    LayerState bare = new LayerState(VbnConfig.of(2), null, given.beta(), given.reference());
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(network).setState(bare),
        "the state has no gamma; expected one, or a layer with lockGammaBeta(true)");
    assertArrayEquals(new float[] {1f / 3, 2, 3, 4}, network.params().data().asFloat());
  }

  @Test
  void gammaBeginsAroundOneByTheSeed() {
    Layer layer = new VirtualBatchNormalization();
    MultiLayerNetwork network = only(DataType.DOUBLE, InputType.feedForward(10_000), layer);
    Map<String, INDArray> parameters = network.paramTable();
    INDArray gamma = parameters.get("0_gamma");
    assertEquals(1, gamma.meanNumber().doubleValue(), 1e-3);
    assertEquals(0.02, gamma.stdNumber().doubleValue(), 1e-3);
    assertEquals(0, parameters.get("0_beta").amaxNumber().doubleValue());
    assertArrayEquals(
        doubles(network.params()),
        doubles(
            only(DataType.DOUBLE, InputType.feedForward(10_000), layer.clone()).params()));
    assertNotNull(network.summary());
  }
}
