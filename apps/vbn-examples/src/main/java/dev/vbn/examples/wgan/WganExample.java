package dev.vbn.examples.wgan;

import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.examples.wgan.Critic.Parameters;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Random;

/**
 * Trains a critic to tell waves from noise, as WGAN-GP trains one: the difference of its means is
 * the distance of the two, once its gradient has length 1 between them.
 */
public final class WganExample {
  private static final int BATCH = 32;
  private static final int LENGTH = 24;
  private static final double PENALTY = 10;
  private static final double RATE = 0.01;

  private WganExample() {}

  /** Prints how the critic gets on. */
  public static void main(String[] args) {
    System.out.println("step   distance   length of the gradient");
    train(400, true);
  }

  /** Where training has got to: what the critic says of new sequences. */
  record Result(double distance, double slope) {}

  static Result train(int steps, boolean print) {
    Random random = new Random(5);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        Critic critic = new Critic(backend, 6, 5, waves(random), 6)) {
      double[][] first = Parameters.zeros(critic).all();
      double[][] second = Parameters.zeros(critic).all();
      for (int step = 1; step <= steps; step++) {
        Parameters gradient = gradient(critic, waves(random), noise(random), random);
        adam(critic.parameters().all(), gradient.all(), first, second, step);
        critic.refresh();
        if (print && step % 50 == 0) {
          Result result = look(critic, new Random(step));
          System.out.printf("%4d   %8.3f   %8.3f%n", step, result.distance(), result.slope());
        }
      }
      return look(critic, new Random(0));
    }
  }

  /** Of {@code mean(D(noise)) - mean(D(waves)) + 10*penalty}. */
  private static Parameters gradient(
      Critic critic, double[][] waves, double[][] noise, Random random) {
    Parameters gradient = Parameters.zeros(critic);
    critic.addGradient(waves, filled(-1.0 / BATCH), gradient);
    critic.addGradient(noise, filled(1.0 / BATCH), gradient);
    critic.addPenaltyGradient(between(waves, noise, random), PENALTY, gradient);
    return gradient;
  }

  private static double[] filled(double value) {
    double[] values = new double[BATCH];
    Arrays.fill(values, value);
    return values;
  }

  private static Result look(Critic critic, Random random) {
    double[][] waves = waves(random);
    double[][] noise = noise(random);
    return new Result(
        mean(critic.of(waves)) - mean(critic.of(noise)),
        mean(critic.slopes(between(waves, noise, random))));
  }

  private static double mean(double[] values) {
    return Arrays.stream(values).average().orElseThrow();
  }

  /** Sequences of one frequency each, wherever they begin. */
  static double[][] waves(Random random) {
    double[][] waves = new double[BATCH][LENGTH];
    for (double[] wave : waves) {
      double pace = 0.5 + 0.5 * random.nextDouble();
      double start = 2 * Math.PI * random.nextDouble();
      Arrays.setAll(wave, i -> Math.sqrt(2) * Math.sin(start + pace * i));
    }
    return waves;
  }

  static double[][] noise(Random random) {
    double[][] noise = new double[BATCH][LENGTH];
    for (double[] each : noise) {
      Arrays.setAll(each, i -> random.nextGaussian());
    }
    return noise;
  }

  /** Somewhere on the lines from one to the other. */
  private static double[][] between(double[][] from, double[][] to, Random random) {
    double[][] between = new double[from.length][];
    for (int i = 0; i < from.length; i++) {
      double share = random.nextDouble();
      double[] a = from[i];
      double[] b = to[i];
      between[i] = a.clone();
      Arrays.setAll(between[i], k -> a[k] + share * (b[k] - a[k]));
    }
    return between;
  }

  /** One step of Adam (Kingma and Ba 2015), with the moments that WGAN-GP gives it. */
  private static void adam(
      double[][] parameters, double[][] gradients, double[][] first, double[][] second, int step) {
    double bias = 1 - Math.pow(0.9, step);
    for (int part = 0; part < parameters.length; part++) {
      for (int i = 0; i < parameters[part].length; i++) {
        double g = gradients[part][i];
        first[part][i] = g; // beta1 is 0
        second[part][i] = 0.9 * second[part][i] + 0.1 * g * g;
        parameters[part][i] -= RATE * first[part][i] / (Math.sqrt(second[part][i] / bias) + 1e-8);
      }
    }
  }
}
