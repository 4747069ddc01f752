package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class KernelsTest {
  private static final String MODULE = "jdk.incubator.vector";

  private static boolean incubator() {
    return ModuleLayer.boot().findModule(MODULE).isPresent();
  }

  @Test
  void scalarIsAlwaysThere() {
    Kernels kernels = Kernels.choose("scalar");
    assertTrue(kernels.available());
    assertEquals("scalar kernel", kernels.description());
    assertEquals("scalar", kernels.create().name());
  }

  @Test
  void withoutAWishItIsSimdWhereTheModuleIs() {
    Kernels kernels = Kernels.choose("");
    assertTrue(kernels.available());
    assertEquals(incubator() ? "simd" : "scalar", kernels.create().name());
    assertEquals(
        incubator()
            ? "SIMD kernel"
            : "scalar kernel (for SIMD start java with --add-modules " + MODULE + ")",
        kernels.description());
  }

  @Test
  void simdAskedForIsNeverReplaced() {
    Kernels kernels = Kernels.choose("simd");
    assertEquals(incubator(), kernels.available());
    if (incubator()) {
      assertEquals("simd", kernels.create().name());
    } else {
      assertEquals("for SIMD start java with --add-modules " + MODULE, kernels.description());
      assertThrows(IllegalStateException.class, kernels::create);
    }
  }

  @Test
  void anUnknownNameMakesTheBackendUnavailable() {
    Kernels kernels = Kernels.choose("avx");
    assertFalse(kernels.available());
    assertEquals("vbn.reference.kernel is 'avx'; expected scalar or simd", kernels.description());
    Workers workers = new Workers(Runnable::run, 1);
    assertThrows(IllegalStateException.class, () -> new ReferenceBackend(kernels, workers));
  }

  /** Adds one to what {@link ScalarKernel} computes, in one of the four methods. */
  private record Wrong(Kernel right, String method) implements Kernel {
    @Override
    public String name() {
      return "wrong";
    }

    private void spoil(String here, float[] result, int at) {
      if (here.equals(method)) {
        result[at] += 1;
      }
    }

    @Override
    public void sum(float[] x, int at, Box box, FloatSums lanes) {
      right.sum(x, at, box, lanes);
      spoil("sum", lanes.squares, box.lanes() - 1);
    }

    @Override
    public void sumWithUpstream(float[] x, float[] dy, int at, Box box, FloatSums lanes) {
      right.sumWithUpstream(x, dy, at, box, lanes);
      spoil("sumWithUpstream", lanes.upstreamDeviation, 0);
    }

    @Override
    public void normalize(float[] x, float[] output, int at, Box box, FloatLines lines) {
      right.normalize(x, output, at, box, lines);
      spoil("normalize", output, at + box.at());
    }

    @Override
    public void differentiate(
        float[] x, float[] dy, float[] output, int at, Box box, FloatLines lines) {
      right.differentiate(x, dy, output, at, box, lines);
      spoil("differentiate", output, at + box.at());
    }
  }

  @Test
  void aKernelThatComputesSomethingElseIsFound() {
    Kernel right = new ScalarKernel(Tile.LANES);
    KernelCheck.check(new Wrong(right, "none"));
    for (String method : new String[] {"sum", "sumWithUpstream", "normalize", "differentiate"}) {
      assertThrows(
          IllegalStateException.class, () -> KernelCheck.check(new Wrong(right, method)), method);
    }
  }
}
