package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.GradientCollector;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Recorded by a GradientCollector, forward has the gradients that the kit has checked in backward;
 * on whichever engine the subclass is run.
 */
abstract class GraphGradients {
  private static final long[][] SHAPES = {{4, 3, 7}, {4, 70, 3}, {5, 3}, {3, 3, 2, 65}};
  private static final int[] AXES = {1, -1, 1, 1};

  private EngineHere here;

  @BeforeEach
  void open() {
    here = EngineHere.open();
  }

  @AfterEach
  void close() {
    if (here != null) {
      here.close();
    }
  }

  /** One layer with everything that it is given. */
  private final class Setting implements AutoCloseable {
    final VirtualBatchNorm<NDArray> layer;
    final NDArray gamma;
    final NDArray beta;
    final NDArray x;
    final NDArray r;
    final NDArray dy;
    final NDArray dyReference;

    Setting(VbnConfig config, DataType type, long[] shape, double offset, double scale) {
      DataType parameters = type == DataType.FLOAT64 ? type : DataType.FLOAT32;
      Shape live = new Shape(shape);
      long[] more = shape.clone();
      more[0] += 2;
      Shape reference = new Shape(more);
      gamma = here.normal(here.manager, 1, 1, 0.3, parameters, new Shape(3));
      beta = here.normal(here.manager, 2, 0, 1, parameters, new Shape(3));
      x = here.normal(here.manager, 3, offset + scale, scale, type, live);
      r = here.normal(here.manager, 4, offset, scale, type, reference);
      dy = here.normal(here.manager, 5, 0, 1, type, live);
      dyReference = here.normal(here.manager, 6, 0, 1, type, reference);
      layer = VirtualBatchNorm.of(here.backend, config).withGamma(gamma).withBeta(beta);
    }

    /** What the layer's own backward gives: dx, dgamma, dbeta, and dr if attached. */
    List<double[]> explicit() {
      try (ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(r)) {
        Gradients<NDArray> gradients = layer.backward(x, statistics, dy);
        List<double[]> all = doubles(gradients);
        if (layer.config().referenceGradient() == ReferenceGradient.ATTACHED) {
          all.add(EngineHere.doubles(
              layer.referenceGradient(r, statistics, gradients).output()));
        }
        return all;
      }
    }

    List<double[]> explicitReference() {
      try (ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(r)) {
        return doubles(layer.referenceBackward(r, statistics, dyReference));
      }
    }

    private List<double[]> doubles(Gradients<NDArray> gradients) {
      List<double[]> all = new ArrayList<>();
      all.add(EngineHere.doubles(gradients.dx()));
      all.add(EngineHere.doubles(gradients.dgamma()));
      all.add(EngineHere.doubles(gradients.dbeta()));
      return all;
    }

    void requireGradients() {
      for (NDArray leaf : List.of(x, r, gamma, beta)) {
        leaf.setRequiresGradient(true);
      }
    }

    /** What automatic differentiation gives, everything but the loss closed and collected first. */
    List<double[]> recorded() {
      try (GradientCollector collector = here.engine.newGradientCollector()) {
        ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(r);
        Output<NDArray> live = layer.forward(x, statistics);
        NDArray loss = live.output().mul(dy).sum();
        statistics.close();
        live.close();
        System.gc();
        collector.backward(loss);
        loss.close();
      }
      return new ArrayList<>(List.of(gradient(x), gradient(gamma), gradient(beta), gradient(r)));
    }

    List<double[]> recordedReference() {
      try (GradientCollector collector = here.engine.newGradientCollector()) {
        ReferenceOutput<NDArray> pass = layer.reference(r);
        NDArray loss = pass.output().mul(dyReference).sum();
        pass.close();
        System.gc();
        collector.backward(loss);
        loss.close();
      }
      return List.of(gradient(r), gradient(gamma), gradient(beta));
    }

    private double[] gradient(NDArray leaf) {
      try (NDArray gradient = leaf.getGradient()) {
        return EngineHere.doubles(gradient);
      }
    }

    @Override
    public void close() {
      layer.close();
      for (NDArray array : List.of(gamma, beta, x, r, dy, dyReference)) {
        array.close();
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void attached(Variant variant) {
    checkShapes(variant, ReferenceGradient.ATTACHED);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void detached(Variant variant) {
    checkShapes(variant, ReferenceGradient.DETACHED);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void allDetached(Variant variant) {
    checkShapes(variant, ReferenceGradient.ALL_DETACHED);
  }

  private void checkShapes(Variant variant, ReferenceGradient mode) {
    for (int i = 0; i < SHAPES.length; i++) {
      for (DataType type : types()) {
        check(variant, mode, type, SHAPES[i], AXES[i], 0, 1);
      }
    }
    // Where values are shifted, and where they are scaled.
    check(variant, mode, DataType.FLOAT32, SHAPES[0], 1, 0x1p12, 1);
    check(variant, mode, DataType.FLOAT32, SHAPES[0], 1, 0, 1e25);
  }

  /** On MXNet DJL can make no array of 16 bits that requires a gradient. */
  private List<DataType> types() {
    return Workspace.PYTORCH.equals(here.engine.getEngineName())
        ? List.of(DataType.FLOAT64, DataType.FLOAT32, DataType.FLOAT16)
        : List.of(DataType.FLOAT64, DataType.FLOAT32);
  }

  private void check(
      Variant variant,
      ReferenceGradient mode,
      DataType type,
      long[] shape,
      int axis,
      double offset,
      double scale) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withFeatureAxis(axis).withReferenceGradient(mode);
    String where = variant + ", " + mode + ", " + type + ", " + new Shape(shape) + ", offset "
        + offset + ", scale " + scale;
    double tolerance = (1 + offset)
        * switch (type) {
          case FLOAT64 -> 1e-12;
          case FLOAT16 -> 2e-3;
          default -> 2e-6;
        };
    try (Setting setting = new Setting(config, type, shape, offset, scale)) {
      List<double[]> expected = setting.explicit();
      setting.requireGradients();
      List<double[]> actual = setting.recorded();
      assertClose("dx, " + where, expected.get(0), actual.get(0), tolerance);
      assertClose("dgamma, " + where, expected.get(1), actual.get(1), tolerance);
      assertClose("dbeta, " + where, expected.get(2), actual.get(2), tolerance);
      double[] zeros = new double[(int) setting.r.size()];
      if (mode == ReferenceGradient.ATTACHED) {
        assertClose("dr, " + where, expected.get(3), actual.get(3), tolerance);
      } else {
        assertArrayEquals(zeros, actual.get(3), 0, "dr, " + where);
      }
    }
    try (Setting setting = new Setting(config, type, shape, offset, scale)) {
      List<double[]> expected = setting.explicitReference();
      setting.requireGradients();
      List<double[]> actual = setting.recordedReference();
      String pass = "reference pass, " + where;
      // Attached, the elements' gradients cancel in part: measured by what dy alone would give.
      assertClose("dx, " + pass, expected.get(0), actual.get(0), 4 * tolerance);
      assertClose("dgamma, " + pass, expected.get(1), actual.get(1), tolerance);
      assertClose("dbeta, " + pass, expected.get(2), actual.get(2), tolerance);
    }
  }

  private static void assertClose(
      String what, double[] expected, double[] actual, double tolerance) {
    double largest = 0;
    for (double value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    assertTrue(largest > 0, () -> what + " is 0 throughout; expected a gradient");
    assertArrayEquals(expected, actual, tolerance * largest, what);
  }

  /** With arithmetic on a Number nearly every one of these is wrong. */
  @Test
  void garbageCollectionBetweenForwardAndBackwardChangesNoBit() {
    VbnConfig config = VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);
    @Nullable List<double[]> first = null;
    for (int i = 0; i < iterations(); i++) {
      try (Setting setting = new Setting(config, DataType.FLOAT32, SHAPES[0], 0, 1)) {
        setting.requireGradients();
        List<double[]> gradients = setting.recorded();
        if (first == null) {
          first = gradients;
        }
        for (int j = 0; j < gradients.size(); j++) {
          assertArrayEquals(first.get(j), gradients.get(j), "gradient " + j + ", round " + i);
        }
      }
    }
  }

  abstract int iterations();

  /** Explicit gradients leave no trace in the graph that is being recorded around them. */
  @Test
  void backwardInsideACollectorIsNotRecorded() {
    VbnConfig config = VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);
    try (Setting setting = new Setting(config, DataType.FLOAT32, SHAPES[0], 0, 1)) {
      List<double[]> expected = setting.explicit();
      setting.requireGradients();
      try (GradientCollector collector = here.engine.newGradientCollector();
          ReferenceStatistics<NDArray> statistics = setting.layer.referenceStatistics(setting.r)) {
        NDArray output = setting.layer.forward(setting.x, statistics).output();
        Gradients<NDArray> gradients = setting.layer.backward(setting.x, statistics, setting.dy);
        assertClose(
            "explicit dx while recording",
            expected.get(0),
            EngineHere.doubles(gradients.dx()),
            2e-6);
        collector.backward(output.mul(setting.dy).sum());
      }
      assertClose("dx", expected.get(0), setting.gradient(setting.x), 2e-6);
      assertEquals(setting.x.getShape(), setting.x.getGradient().getShape());
    }
  }
}
