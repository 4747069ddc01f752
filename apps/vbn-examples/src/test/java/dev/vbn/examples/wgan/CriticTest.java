package dev.vbn.examples.wgan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.examples.wgan.Critic.Parameters;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Random;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.Test;

/** The critic's gradients are the slopes of what they are gradients of, and it learns by them. */
final class CriticTest {
  private static final double STEP = 1e-5;

  @Test
  void theGradientOfThePenaltyIsItsSlope() {
    assertSlopes(
        critic -> 10 * critic.penalty(sequences()),
        (critic, gradient) -> critic.addPenaltyGradient(sequences(), 10, gradient));
  }

  @Test
  void theGradientOfTheCriticIsItsSlope() {
    double[] upstream = {1, -2, 0.5};
    assertSlopes(
        critic -> {
          double[] d = critic.of(sequences());
          return d[0] * upstream[0] + d[1] * upstream[1] + d[2] * upstream[2];
        },
        (critic, gradient) -> critic.addGradient(sequences(), upstream, gradient));
  }

  private interface GradientOf {
    void add(Critic critic, Parameters to);
  }

  private static void assertSlopes(ToDoubleFunction<Critic> loss, GradientOf gradientOf) {
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open("reference", HostTensor.class);
        Critic critic = new Critic(backend, 3, 4, WganExample.waves(new Random(1)), 2)) {
      Parameters gradient = Parameters.zeros(critic);
      gradientOf.add(critic, gradient);
      double[][] parameters = critic.parameters().all();
      for (int part = 0; part < parameters.length; part++) {
        for (int i = 0; i < parameters[part].length; i++) {
          double before = parameters[part][i];
          parameters[part][i] = before + STEP;
          double above = loss.applyAsDouble(critic);
          parameters[part][i] = before - STEP;
          double below = loss.applyAsDouble(critic);
          parameters[part][i] = before;
          double slope = (above - below) / (2 * STEP);
          assertEquals(
              slope,
              gradient.all()[part][i],
              1e-6 * Math.max(1, Math.abs(slope)),
              "parameter " + i + " of part " + part);
        }
      }
    }
  }

  private static double[][] sequences() {
    return Arrays.copyOf(WganExample.noise(new Random(3)), 3);
  }

  @Test
  void theCriticTellsWavesFromNoiseWithAGradientOfLengthOne() {
    WganExample.Result untrained = WganExample.train(0, false);
    WganExample.Result result = WganExample.train(300, false);
    assertTrue(result.distance() > 2 * untrained.distance() + 0.5, result::toString);
    assertEquals(1, result.slope(), 0.4);
  }
}
