package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.inject.Guice;
import dev.vbn.ReferenceMoments;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.examples.wgan.WganExample;
import dev.vbn.guice.VbnModule;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every example computes what it says, and frees what it made. */
class ExamplesTest {
  /** All programs but those that need a GPU or train for minutes. */
  private static final List<Class<?>> PROGRAMS = List.of(
      PlainArrays.class,
      Training.class,
      AnyBackend.class,
      GuiceWiring.class,
      PaddedSequences.class,
      SharedStatistics.class,
      Conditional.class,
      WganExample.class);

  @AfterEach
  void restoreTheChoice() {
    System.clearProperty(VbnBackends.BACKEND_PROPERTY);
  }

  @Test
  void plainArraysGiveWhatThePaperSays() {
    // The worked value of reference [1,3] and live 5; feature 1 lies on the reference mean.
    assertArrayEquals(new float[] {1.2247f, 0}, PlainArrays.normalize(), 1e-4f);
  }

  /** Both halves of 0, 2, 4, 6 with weight 1/5: mean 2.2, variance (0.8 + 0.2*5 + 0.16). */
  @Test
  void halvesShareTheStatisticsOfTheWhole() {
    float s = (float) Math.sqrt(0.8 + 1 + 0.16 + 1e-5);
    float[] expected = {-2.2f / s, -0.2f / s, 1.8f / s, 3.8f / s};
    assertArrayEquals(expected, SharedStatistics.normalize(), 1e-5f);
  }

  /** Gamma of label 1 is 2 and 4, that of label 0 is 1; the live batch has weight 1/4. */
  @Test
  void eachExampleHasTheScaleOfItsLabel() {
    float[] y = Conditional.normalize();
    assertEquals(2 * y[0], y[2], 1e-6f);
    assertEquals(4 * y[1], y[3], 1e-6f);
    assertTrue(y[0] > 0 && y[4] < 0);
  }

  /** The outputs wanted are a straight line over the inputs, which gamma and beta can express. */
  @Test
  void trainingLearnsWhatIsWanted() {
    HostTensor x = HostTensor.of(new float[] {0, 1, 2, 3}, 4, 1);
    float[] wanted = {1, 3, 5, 7};
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class)) {
      float[] served = Training.trainAndServe(backend, x, HostTensor.of(wanted, 4, 1));
      assertArrayEquals(wanted, served, 1e-3f);
    }
  }

  @Test
  void paddingHasNoEffect() {
    // Reference and live batch have mean 3 and variance 8/3 each, and so have both together.
    assertArrayEquals(
        new float[] {0, 0, 0, -1.2247f, 1.2247f, 0}, PaddedSequences.normalize(), 1e-4f);
  }

  @Test
  void chunksWithMasksAddUp() {
    HostTensor first = HostTensor.of(new float[] {1, 3, 9}, 1, 1, 3);
    HostTensor second = HostTensor.of(new float[] {5, 9, 9, 9, 9, 9}, 2, 1, 3);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(1))) {
      ReferenceMoments moments = PaddedSequences.inChunks(
          layer,
          List.of(
              new PaddedSequences.Chunk<>(first, Mask.lengths(2)),
              new PaddedSequences.Chunk<>(second, Mask.lengths(1, 0))));
      assertEquals(3, moments.mean()[0], 1e-12);
      assertEquals(8 / 3.0, moments.variance()[0], 1e-12);
      assertEquals(2, moments.examples());
      assertEquals(3, moments.elements());
    }
  }

  @Test
  void guiceInjectsTheBackend() {
    assertEquals(
        "Discriminator with VirtualBatchNorm(features=64, epsilon=1.0E-5, variant=live-batch)",
        Guice.createInjector(new VbnModule())
            .getInstance(GuiceWiring.Discriminator.class)
            .toString());
  }

  @Test
  void anyBackendNormalises() {
    try (VbnBackend<?> backend = VbnBackends.find().open()) {
      assertEquals(0.904534, AnyBackend.onTensorsOf(backend).get(0), 1e-5);
    }
  }

  static Stream<Class<?>> programs() {
    return PROGRAMS.stream();
  }

  @ParameterizedTest
  @MethodSource("programs")
  void leavesNoTensorBehind(Class<?> program) throws ReflectiveOperationException {
    System.setProperty(VbnBackends.BACKEND_PROPERTY, CountingProvider.NAME);
    int made = CountingProvider.MADE.get();
    int open = CountingProvider.OPEN.get();
    program.getMethod("main", String[].class).invoke(null, (Object) new String[0]);
    // The layer that Guice wires computes nothing.
    assertEquals(program != GuiceWiring.class, CountingProvider.MADE.get() > made, "made tensors");
    assertEquals(open, CountingProvider.OPEN.get(), "tensors that were not freed");
  }

  /** As the handle counts them too, on a backend that is still open. */
  @Test
  void theBackendCountsNoTensorThatIsLeft() {
    VbnBackends counting = VbnBackends.find();
    HostTensor x = HostTensor.of(new float[] {0, 1, 2, 3}, 4, 1);
    try (VbnBackend<HostTensor> arrays = counting.open(CountingProvider.NAME, HostTensor.class);
        VbnBackend<?> own = counting.open(CountingProvider.NAME)) {
      assertFalse(Float.isNaN(Training.trainAndServe(arrays, x, x)[0]));
      assertEquals(0, arrays.openTensors());
      assertTrue(AnyBackend.onTensorsOf(own).get(0) > 0);
      assertEquals(0, own.openTensors());
    }
  }

  /** No example is left out above. */
  @Test
  void everyProgramIsCounted() throws IOException {
    Set<String> counted = PROGRAMS.stream().map(Class::getSimpleName).collect(Collectors.toSet());
    counted.add(DevicePointers.class.getSimpleName()); // wraps memory of a GPU
    counted.remove(WganExample.class.getSimpleName()); // has a folder of its own
    try (Stream<Path> sources = Files.list(Path.of("src/main/java/dev/vbn/examples"))) {
      assertEquals(
          counted,
          sources
              .map(file -> file.getFileName().toString())
              .filter(name -> name.endsWith(".java") && !name.equals("package-info.java"))
              .map(name -> name.substring(0, name.length() - ".java".length()))
              .collect(Collectors.toSet()));
    }
  }
}
