package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;

import ai.djl.ndarray.BaseNDManager;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDScope;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.GradientCollector;
import ai.djl.util.NativeResource;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Whose arrays are whose; on whichever engine the subclass is run. */
abstract class Leak {
  private static final int STEPS = 1000;

  private EngineHere here;
  private NDManager parameters;
  private NDManager statisticsOwner;
  private NDArray gamma;
  private NDArray beta;
  private NDArray x;
  private NDArray r;
  private NDArray dy;

  @BeforeEach
  void open() {
    here = EngineHere.open();
    parameters = here.engine.newBaseManager();
    statisticsOwner = here.engine.newBaseManager();
    gamma = here.normal(parameters, 1, 1, 0.3, DataType.FLOAT32, new Shape(3));
    beta = here.normal(parameters, 2, 0, 1, DataType.FLOAT32, new Shape(3));
    x = here.normal(here.manager, 3, 100, 1, DataType.FLOAT32, new Shape(4, 3, 7));
    r = here.normal(statisticsOwner, 4, 100, 1, DataType.FLOAT32, new Shape(6, 3, 7));
    dy = here.normal(here.manager, 5, 0, 1, DataType.FLOAT32, new Shape(4, 3, 7));
  }

  @AfterEach
  void close() {
    if (here != null) {
      parameters.close();
      statisticsOwner.close();
      here.close();
    }
  }

  private VirtualBatchNorm<NDArray> layer(Variant variant) {
    return VirtualBatchNorm.of(
            here.backend,
            VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED))
        .withGamma(gamma)
        .withBeta(beta);
  }

  /** Everything that a manager holds: arrays, and managers below it. */
  private static int resources(NDManager manager) {
    try {
      Field field = BaseNDManager.class.getDeclaredField("resources");
      field.setAccessible(true);
      return ((Map<?, ?>) field.get(manager)).size();
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("DJL keeps its resources elsewhere; expected them in a field", e);
    }
  }

  private List<Integer> counts() {
    List<Integer> counts = new ArrayList<>();
    for (NDManager manager : List.of(here.manager, parameters, statisticsOwner)) {
      counts.add(resources(manager));
      assertEquals(
          manager.getManagedArrays().size(), resources(manager), "arrays, and nothing else");
    }
    return counts;
  }

  private void step(VirtualBatchNorm<NDArray> layer, ReferenceStatistics<NDArray> statistics) {
    try (Output<NDArray> live = layer.forward(x, statistics);
        Gradients<NDArray> gradients = layer.backward(x, statistics, dy);
        Output<NDArray> dr = layer.referenceGradient(r, statistics, gradients)) {
      for (NDArray result :
          List.of(live.output(), gradients.dx(), gradients.dgamma(), gradients.dbeta())) {
        assertSame(here.manager, result.getManager(), "manager of a result; expected the input's");
      }
      assertSame(
          statisticsOwner,
          dr.output().getManager(),
          "manager of the gradient of the reference batch");
    }
  }

  @Test
  void thousandStepsLeaveTheManagersAsTheyWere() {
    double[] before = EngineHere.doubles(x);
    VirtualBatchNorm<NDArray> layer = layer(Variant.LIVE_BATCH);
    try (ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(r)) {
      step(layer, statistics);
      List<Integer> counts = counts();
      for (int i = 0; i < STEPS; i++) {
        step(layer, statistics);
        assertEquals(counts, counts(), "resources of the managers after step " + i);
      }
    }
    for (NDArray array : List.of(gamma, beta, x, r, dy)) {
      assertFalse(((NativeResource<?>) array).isReleased(), "an argument was closed");
    }
    assertSame(here.manager, x.getManager(), "manager of x");
    assertSame(parameters, gamma.getManager(), "manager of gamma");
    assertSame(statisticsOwner, r.getManager(), "manager of the reference batch");
    assertArrayEquals(before, EngineHere.doubles(x), "x");
  }

  @Test
  void recordedStepsLeaveTheManagersAsTheyWere() {
    for (NDArray leaf : List.of(gamma, beta, x, r)) {
      leaf.setRequiresGradient(true);
    }
    for (Variant variant : Variant.values()) {
      VirtualBatchNorm<NDArray> layer = layer(variant);
      List<Integer> counts = null;
      for (int i = 0; i < 50; i++) {
        try (GradientCollector collector = here.engine.newGradientCollector();
            NDManager batch = here.manager.newSubManager()) {
          ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(r);
          NDArray live = layer.forward(x, statistics).takeOutput();
          live.attach(batch);
          NDArray loss = live.mul(dy).sum();
          collector.backward(loss);
          statistics.close();
        }
        counts = counts == null ? counts() : counts;
        assertEquals(counts, counts(), "resources after recorded step " + i + " of " + variant);
      }
    }
  }

  @Test
  void aScopeOfTheCallerClosesTheResults() {
    VirtualBatchNorm<NDArray> layer = layer(Variant.PER_EXAMPLE);
    List<Integer> counts = counts();
    try (NDScope scope = new NDScope()) {
      scope.suppressNotUsedWarning();
      ReferenceStatistics<NDArray> statistics = layer.reference(r).statistics();
      layer.backward(x, statistics, dy);
      layer.forward(x, statistics);
    }
    assertEquals(counts, counts(), "resources after the caller's scope");
  }
}
