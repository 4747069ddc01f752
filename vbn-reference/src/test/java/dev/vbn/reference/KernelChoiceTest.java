package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class KernelChoiceTest {
  private static final String MODULE = "jdk.incubator.vector";

  private static boolean incubator() {
    return ModuleLayer.boot().findModule(MODULE).isPresent();
  }

  @Test
  void scalarIsAlwaysThere() {
    KernelChoice choice = KernelChoice.choose("scalar");
    assertTrue(choice.available());
    assertEquals("scalar kernel", choice.description());
    assertEquals(FloatKernel.class, classOf(choice));
  }

  private static Class<?> classOf(KernelChoice choice) {
    return choice.of(HostTensor.zeros(DType.FLOAT32, 2, 3), null, null, null).getClass();
  }

  @Test
  void withoutAWishItIsSimdWhereTheModuleIs() {
    KernelChoice choice = KernelChoice.choose("");
    assertTrue(choice.available());
    assertEquals(incubator() ? "SimdKernel" : "FloatKernel", classOf(choice).getSimpleName());
    assertEquals(
        incubator()
            ? "SIMD kernel"
            : "scalar kernel (for SIMD start java with --add-modules " + MODULE + ")",
        choice.description());
  }

  @Test
  void simdAskedForIsNeverReplaced() {
    KernelChoice choice = KernelChoice.choose("simd");
    assertEquals(incubator(), choice.available());
    if (incubator()) {
      assertEquals("SimdKernel", classOf(choice).getSimpleName());
    } else {
      assertEquals("for SIMD start java with --add-modules " + MODULE, choice.description());
      assertThrows(IllegalStateException.class, () -> classOf(choice));
    }
  }

  /** Nothing more than that: what is logged at a higher level goes to standard error by default. */
  @Test
  void thatSimdIsNotInUseIsAFineRecord() {
    List<LogRecord> records = new ArrayList<>();
    Handler handler = new Handler() {
      @Override
      public void publish(LogRecord record) {
        records.add(record);
      }

      @Override
      public void flush() {}

      @Override
      public void close() {}
    };
    Logger logger = Logger.getLogger("dev.vbn.reference");
    logger.setLevel(Level.ALL);
    logger.addHandler(handler);
    try {
      KernelChoice.choose("");
      KernelChoice.choose("simd");
    } finally {
      logger.removeHandler(handler);
      logger.setLevel(null);
    }
    assertEquals(incubator() ? 0 : 2, records.size());
    records.forEach(record -> assertEquals(Level.FINE, record.getLevel()));
  }

  @Test
  void anUnknownNameMakesTheBackendUnavailable() {
    KernelChoice choice = KernelChoice.choose("avx");
    assertFalse(choice.available());
    assertEquals("vbn.reference.kernel is 'avx'; expected scalar or simd", choice.description());
    assertThrows(IllegalStateException.class, () -> classOf(choice));
  }

  /** Spoils what {@link FloatKernel} computes: what it reads to sum, or what it has written. */
  private static final class Wrong extends FloatKernel {
    private final String what;

    Wrong(
        String what,
        float[] x,
        float @Nullable [] upstream,
        double @Nullable [] centers,
        float @Nullable [] output) {
      super(x, upstream, centers, output);
      this.what = what;
    }

    @Override
    void sum(Block block, Tile tile, Workspace workspace, GroupSums into) {
      int rows = what.equals("a row not summed") ? block.rows() - 1 : block.rows();
      super.sum(new Block(block.at(), rows, block.stride(), block.length()), tile, workspace, into);
    }

    @Override
    void normalizeRuns(Block block, Lines lines) {
      super.normalizeRuns(block, lines);
      spoil("an output in a long run", block);
    }

    @Override
    void normalizeStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
      super.normalizeStrips(block, tile, lines, workspace);
      spoil("an output in a strip", block);
    }

    @Override
    void differentiateRuns(Block block, Lines lines) {
      super.differentiateRuns(block, lines);
      spoil("a gradient in a long run", block);
    }

    @Override
    void differentiateStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
      super.differentiateStrips(block, tile, lines, workspace);
      spoil("a gradient in a strip", block);
    }

    @Override
    void writeAndSum(
        Block block,
        Tile tile,
        Lines lines,
        Block next,
        Tile nextTile,
        Workspace workspace,
        GroupSums into) {
      super.writeAndSum(block, tile, lines, next, nextTile, workspace, into);
      if (what.equals("a row summed twice while another is written")) {
        Block row = new Block(next.at(), 1, next.stride(), next.length());
        super.sum(row, nextTile, workspace, into);
      }
      spoil("an output while another tile is summed", block);
    }

    private void spoil(String wrong, Block block) {
      float[] written = output;
      if (wrong.equals(what) && written != null) {
        written[block.at() + block.length() - 1] += 1;
      }
    }
  }

  @Test
  void aKernelThatComputesTheSameIsRight() {
    KernelCheck.check(FloatKernel::new);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a row not summed",
        "a row summed twice while another is written",
        "an output while another tile is summed",
        "an output in a long run",
        "an output in a strip",
        "a gradient in a long run",
        "a gradient in a strip"
      })
  void aKernelThatComputesSomethingElseIsFound(String what) {
    assertThrows(
        IllegalStateException.class,
        () -> KernelCheck.check(
            (x, upstream, centers, output) -> new Wrong(what, x, upstream, centers, output)));
  }
}
