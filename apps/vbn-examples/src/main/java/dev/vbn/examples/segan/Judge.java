package dev.vbn.examples.segan;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.state.LayerState;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.state.StateNames;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;

/**
 * The discriminator that {@link SeganExample} trained on DJL, from its file, in plain Java: what it says of
 * recordings. Its virtual batch norms run on whatever backend is opened, with their reference.
 */
public final class Judge {
  private final Path file;
  private final NamedTensors state;
  private final int window;
  private final VbnBackend<HostTensor> backend;

  Judge(Path file, VbnBackend<HostTensor> backend) throws IOException {
    this.file = file;
    this.backend = backend;
    state = Safetensors.read(file, name -> name.startsWith(Discriminator.PREFIX));
    window = Integer.parseInt(state.texts().getOrDefault("window", "0"));
    if (window == 0 || state.tensors().isEmpty()) {
      throw new IOException(file + " holds no discriminator; expected what SeganExample wrote");
    }
  }

  /** Arguments: the state, the noisy recording, and those to judge next to it. */
  public static void main(String[] arguments) throws IOException {
    if (arguments.length < 3) {
      System.err.println("usage: segan-judge STATE.safetensors NOISY.wav SPEECH.wav...");
      System.exit(2);
    }
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class)) {
      Judge judge = new Judge(Path.of(arguments[0]), backend);
      float[] noisy = Wav.read(Path.of(arguments[1]));
      System.out.println("on the backend " + backend.name() + "; 1 is clean, 0 enhanced");
      for (String name : Arrays.asList(arguments).subList(2, arguments.length)) {
        System.out.printf(
            Locale.ROOT, "%8.4f  %s%n", mean(judge.of(Wav.read(Path.of(name)), noisy)), name);
      }
    }
  }

  static double mean(float[] values) {
    double sum = 0;
    for (float value : values) {
      sum += value;
    }
    return sum / values.length;
  }

  /** A number for each window. */
  float[] of(float[] speech, float[] noisy) throws IOException {
    float[] pairs = Segan.pairs(speech, noisy, window);
    HostTensor x = HostTensor.of(pairs, pairs.length / (2 * window), 2, window);
    for (int i = 1; i <= Discriminator.LAYERS; i++) {
      x = convolve(x, tensor("conv" + i + ".weight"), tensor("conv" + i + ".bias"));
      x = normalize(x, "vbn" + i + ".");
      float[] values = x.floats();
      for (int k = 0; k < values.length; k++) {
        values[k] = values[k] < 0 ? Discriminator.SLOPE * values[k] : values[k];
      }
    }
    float[] weight = tensor("linear.weight").floats();
    float[] answers = new float[(int) x.shape()[0]];
    for (int i = 0; i < answers.length; i++) {
      double sum = tensor("linear.bias").get(0);
      for (int k = 0; k < weight.length; k++) {
        sum += (double) weight[k] * x.floats()[i * weight.length + k];
      }
      answers[i] = (float) sum;
    }
    return answers;
  }

  private HostTensor tensor(String name) throws IOException {
    HostTensor tensor = state.tensors().get(Discriminator.PREFIX + name);
    if (tensor == null) {
      throw new IOException(file + " has no " + Discriminator.PREFIX + name + "; expected it");
    }
    return tensor;
  }

  private HostTensor normalize(HostTensor x, String layer) throws IOException {
    StateNames names = StateNames.known().withPrefix(Discriminator.PREFIX + layer);
    if (!state.tensors().containsKey(Discriminator.PREFIX + layer + "gamma")) {
      return x; // trained without
    }
    LayerState loaded = LayerState.load(file, names);
    try (VirtualBatchNorm<HostTensor> norm = loaded.layer(backend);
        ReferenceStatistics<HostTensor> reference = loaded.statistics(backend);
        Output<HostTensor> y = norm.forward(x, reference)) {
      return HostTensor.of(y.output().floats().clone(), x.shape());
    }
  }

  /** A strided convolution with padding, of {@code (N, C, L)} by {@code (F, C, K)}. */
  private static HostTensor convolve(HostTensor x, HostTensor weight, HostTensor bias) {
    int channels = (int) x.shape()[1];
    int length = (int) x.shape()[2];
    int filters = (int) weight.shape()[0];
    int kernel = (int) weight.shape()[2];
    int outputs = length / Generator.STRIDE;
    float[] in = x.floats();
    float[] w = weight.floats();
    HostTensor y = HostTensor.zeros(x.dtype(), x.shape()[0], filters, outputs);
    for (int n = 0; n < x.shape()[0]; n++) {
      for (int f = 0; f < filters; f++) {
        for (int p = 0; p < outputs; p++) {
          double sum = bias.get(f);
          int start = p * Generator.STRIDE - kernel / 2;
          for (int c = 0; c < channels; c++) {
            for (int k = Math.max(0, -start); k < Math.min(kernel, length - start); k++) {
              sum += (double) w[(f * channels + c) * kernel + k]
                  * in[(n * channels + c) * length + start + k];
            }
          }
          y.floats()[(n * filters + f) * outputs + p] = (float) sum;
        }
      }
    }
    return y;
  }
}
