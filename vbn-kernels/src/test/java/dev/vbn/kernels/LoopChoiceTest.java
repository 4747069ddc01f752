package dev.vbn.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

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

class LoopChoiceTest {
  private static final String MODULE = "jdk.incubator.vector";

  private static boolean incubator() {
    return ModuleLayer.boot().findModule(MODULE).isPresent();
  }

  @Test
  void scalarIsAlwaysThere() {
    LoopChoice choice = LoopChoice.choose("scalar");
    assertTrue(choice.available());
    assertEquals("scalar kernel", choice.description());
    assertEquals(FloatLoops.class, classOf(choice));
  }

  private static Class<?> classOf(LoopChoice choice) {
    return choice.ofFloats().getClass();
  }

  @Test
  void withoutAWishItIsSimdWhereTheModuleIs() {
    LoopChoice choice = LoopChoice.choose("");
    assertTrue(choice.available());
    assertEquals(incubator() ? "SimdLoops" : "FloatLoops", classOf(choice).getSimpleName());
    assertEquals(
        incubator()
            ? "SIMD kernel"
            : "scalar kernel (for SIMD start java with --add-modules " + MODULE + ")",
        choice.description());
  }

  @Test
  void simdAskedForIsNeverReplaced() {
    LoopChoice choice = LoopChoice.choose("simd");
    assertEquals(incubator(), choice.available());
    if (incubator()) {
      assertEquals("SimdLoops", classOf(choice).getSimpleName());
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
    Logger logger = Logger.getLogger("dev.vbn.kernels");
    logger.setLevel(Level.ALL);
    logger.addHandler(handler);
    try {
      LoopChoice.choose("");
      LoopChoice.choose("simd");
    } finally {
      logger.removeHandler(handler);
      logger.setLevel(null);
    }
    assertEquals(incubator() ? 0 : 2, records.size());
    records.forEach(record -> assertEquals(Level.FINE, record.getLevel()));
  }

  @Test
  void anUnknownNameMakesTheBackendUnavailable() {
    LoopChoice choice = LoopChoice.choose("avx");
    assertFalse(choice.available());
    assertEquals("vbn.kernel is 'avx'; expected scalar or simd", choice.description());
    assertThrows(IllegalStateException.class, () -> classOf(choice));
  }

  /** Spoils what the scalar loops compute: what they sum, or what they have written. */
  private static final class Wrong extends FloatLoops {
    private final String what;

    Wrong(String what) {
      this.what = what;
    }

    @Override
    void addStrips(
        float[] x,
        float @Nullable [] dy,
        int at,
        int strips,
        int stride,
        int count,
        Scratch<float[]> scratch) {
      int few = what.equals("a strip not summed") && strips > 1 ? strips - 1 : strips;
      super.addStrips(x, dy, at, few, stride, count, scratch);
    }

    @Override
    void addRow(
        float[] x,
        float @Nullable [] dy,
        int at,
        int feature,
        int features,
        int stride,
        int length,
        Scratch<float[]> scratch,
        Sums into) {
      int fewer = what.equals("the end of a run not summed") ? length - 1 : length;
      super.addRow(x, dy, at, feature, features, stride, fewer, scratch, into);
    }

    @Override
    void writeStrips(
        float[] x,
        float @Nullable [] dy,
        float[] out,
        int at,
        int strips,
        int stride,
        int count,
        Scratch<float[]> scratch) {
      super.writeStrips(x, dy, out, at, strips, stride, count, scratch);
      if (what.equals(dy == null ? "an output in a strip" : "a gradient in a strip")) {
        out[at + count - 1] += 1;
      }
    }

    @Override
    void writeRow(
        float[] x,
        float @Nullable [] dy,
        float[] out,
        int at,
        int feature,
        int features,
        int stride,
        int length,
        Lines lines) {
      super.writeRow(x, dy, out, at, feature, features, stride, length, lines);
      if (what.equals(dy == null ? "an output in a long run" : "a gradient in a long run")) {
        out[at + length - 1] += 1;
      }
    }
  }

  @Test
  void loopsThatComputeTheSameAreRight() {
    LoopCheck.check(new FloatLoops());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a strip not summed",
        "the end of a run not summed",
        "an output in a long run",
        "an output in a strip",
        "a gradient in a long run",
        "a gradient in a strip"
      })
  void loopsThatComputeSomethingElseAreFound(String what) {
    assertThrows(IllegalStateException.class, () -> LoopCheck.check(new Wrong(what)));
  }
}
