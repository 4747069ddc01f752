package dev.vbn.dl4j;

import java.util.Random;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.ConvolutionMode;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ActivationLayer;
import org.deeplearning4j.nn.conf.layers.Convolution1DLayer;
import org.deeplearning4j.nn.conf.layers.Convolution3D;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.conf.layers.RnnOutputLayer;
import org.deeplearning4j.nn.conf.layers.recurrent.SimpleRnn;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/** DL4J's data formats, with batches of them and small networks around a layer. */
@SuppressWarnings("ImmutableEnumChecker") // nothing changes them
enum Format {
  FF(InputType.feedForward(Format.CHANNELS), 1),
  NCW(InputType.recurrent(Format.CHANNELS, 5, RNNFormat.NCW), 1, 5),
  NWC(InputType.recurrent(Format.CHANNELS, 5, RNNFormat.NWC), -1, 5),
  NCHW(InputType.convolutional(3, 4, Format.CHANNELS, CNN2DFormat.NCHW), 1, 3, 4),
  NHWC(InputType.convolutional(3, 4, Format.CHANNELS, CNN2DFormat.NHWC), -1, 3, 4),
  NCDHW(
      InputType.convolutional3D(Convolution3D.DataFormat.NCDHW, 2, 3, 2, Format.CHANNELS),
      1,
      2,
      3,
      2),
  NDHWC(
      InputType.convolutional3D(Convolution3D.DataFormat.NDHWC, 2, 3, 2, Format.CHANNELS),
      -1,
      2,
      3,
      2);

  /** Of the input. Another number than that of any position, so that an axis taken for it is seen. */
  static final int CHANNELS = 6;

  static final int CLASSES = 2;

  final InputType type;
  final int featureAxis;
  private final long[] positions;

  Format(InputType type, int featureAxis, long... positions) {
    this.type = type;
    this.featureAxis = featureAxis;
    this.positions = positions;
  }

  long[] shape(int examples, int features) {
    long[] shape = new long[positions.length + 2];
    shape[0] = examples;
    boolean last = featureAxis < 0;
    shape[last ? shape.length - 1 : 1] = features;
    System.arraycopy(positions, 0, shape, last ? 1 : 2, positions.length);
    return shape;
  }

  /** Normal numbers of a mean and a deviation that differ from feature to feature. */
  INDArray batch(DataType type, int examples, long seed) {
    long[] shape = shape(examples, CHANNELS);
    Random random = new Random(seed);
    INDArray batch = Nd4j.create(DataType.DOUBLE, shape);
    INDArray byFeature = featureAxis < 0 ? batch : batch.swapAxes(1, shape.length - 1);
    long rows = batch.length() / CHANNELS;
    INDArray values = Nd4j.create(DataType.DOUBLE, rows, CHANNELS);
    for (int i = 0; i < rows; i++) {
      for (int feature = 0; feature < CHANNELS; feature++) {
        values.putScalar(i, feature, feature + (1 + feature) * random.nextGaussian());
      }
    }
    byFeature.assign(values.reshape(byFeature.shape()));
    return batch.castTo(type);
  }

  INDArray labels(DataType type, int examples) {
    boolean sequence = this == NCW || this == NWC;
    INDArray labels =
        sequence ? Nd4j.zeros(type, shape(examples, CLASSES)) : Nd4j.zeros(type, examples, CLASSES);
    for (int i = 0; i < examples; i++) {
      if (this == NCW) {
        labels.slice(i).slice(i % CLASSES).assign(1);
      } else if (this == NWC) {
        labels.slice(i).getColumn(i % CLASSES).assign(1);
      } else {
        labels.putScalar(i, i % CLASSES, 1);
      }
    }
    return labels;
  }

  /** A layer with weights, the layer in question, tanh, and an output layer. */
  MultiLayerNetwork network(DataType dataType, IUpdater updater, Layer layer) {
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .seed(7)
        .dataType(dataType)
        .updater(updater)
        .list()
        .layer(first())
        .layer(layer)
        .layer(new ActivationLayer(Activation.TANH))
        .layer(pooled())
        .layer(output())
        .setInputType(type)
        .build());
    network.init();
    return network;
  }

  private Layer first() {
    return switch (this) {
      case FF ->
        new DenseLayer.Builder().nOut(3).activation(Activation.IDENTITY).build();
      case NCW ->
        new Convolution1DLayer.Builder()
            .nOut(3)
            .kernelSize(3)
            .convolutionMode(ConvolutionMode.Same)
            .activation(Activation.IDENTITY)
            .build();
      case NWC -> // the gradient of DL4J's convolution fails in this format
        new SimpleRnn.Builder().nOut(3).dataFormat(RNNFormat.NWC).build();
      case NCHW, NHWC ->
        new ConvolutionLayer.Builder(2, 2)
            .nOut(3)
            .dataFormat(this == NCHW ? CNN2DFormat.NCHW : CNN2DFormat.NHWC)
            .convolutionMode(ConvolutionMode.Same)
            .activation(Activation.IDENTITY)
            .build();
      case NCDHW, NDHWC ->
        new Convolution3D.Builder(2, 2, 2)
            .nOut(3)
            .dataFormat(
                this == NCDHW ? Convolution3D.DataFormat.NCDHW : Convolution3D.DataFormat.NDHWC)
            .convolutionMode(ConvolutionMode.Same)
            .activation(Activation.IDENTITY)
            .build();
    };
  }

  /** A mask of images ends there. */
  private Layer pooled() {
    return this == NCHW
        ? new GlobalPoolingLayer(PoolingType.AVG)
        : new ActivationLayer(Activation.IDENTITY);
  }

  private Layer output() {
    return this == NCW || this == NWC
        ? new RnnOutputLayer.Builder(LossFunction.MCXENT)
            .nOut(CLASSES)
            .dataFormat(this == NCW ? RNNFormat.NCW : RNNFormat.NWC)
            .activation(Activation.SOFTMAX)
            .build()
        : new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(CLASSES)
            .activation(Activation.SOFTMAX)
            .build();
  }
}
