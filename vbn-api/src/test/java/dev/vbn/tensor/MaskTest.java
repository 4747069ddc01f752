package dev.vbn.tensor;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.testing.Streams;
import java.io.InvalidObjectException;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;

final class MaskTest {
  @Test
  void takesACopyOfTheValues() {
    boolean[] counts = {true, false, false, true};
    long[] shape = {2, 2};
    Mask mask = Mask.of(counts, shape);
    counts[0] = false;
    shape[0] = 4;
    mask.shape()[0] = 4;

    assertTrue(mask.counts(0));
    assertFalse(mask.counts(1));
    assertArrayEquals(new long[] {2, 2}, mask.shape());
    assertFalse(mask.isOfLengths());
  }

  @Test
  void takesACopyOfTheLengths() {
    long[] lengths = {3, 0};
    Mask mask = Mask.lengths(lengths);
    lengths[0] = 7;
    mask.exampleLengths()[0] = 7;

    assertArrayEquals(new long[] {3, 0}, mask.exampleLengths());
    assertEquals(0, mask.axis());
    assertEquals(-2, mask.along(-2).axis());
    assertTrue(mask.isOfLengths());
  }

  @Test
  void equalsWhatWasMadeOfTheSame() {
    Mask mask = Mask.of(new boolean[] {true, false}, 2, 1);
    assertEquals(mask, Mask.of(new boolean[] {true, false}, 2, 1));
    assertEquals(mask.hashCode(), Mask.of(new boolean[] {true, false}, 2, 1).hashCode());
    assertNotEquals(mask, Mask.of(new boolean[] {true, false}, 1, 2));
    assertNotEquals(mask, Mask.of(new boolean[] {true, true}, 2, 1));

    Mask lengths = Mask.lengths(2, 1);
    assertEquals(lengths, Mask.lengths(2, 1));
    assertEquals(lengths.hashCode(), Mask.lengths(2, 1).hashCode());
    assertNotEquals(lengths, Mask.lengths(1, 2));
    assertNotEquals(lengths, lengths.along(1));
    assertNotEquals(lengths, mask);
  }

  @Test
  void saysWhatItIs() {
    assertEquals("Mask of shape [2, 1]", Mask.of(new boolean[2], 2, 1).toString());
    assertEquals("Mask of 3 lengths", Mask.lengths(1, 2, 3).toString());
    assertEquals(
        "Mask of 3 lengths along axis -1", Mask.lengths(1, 2, 3).along(-1).toString());
  }

  @Test
  void refusesWhatIsNoMask() {
    assertRefused(
        IllegalArgumentException.class,
        () -> Mask.of(new boolean[5], 2, 3),
        "5 values",
        "expected 6",
        "[2, 3]");
    assertRefused(NullPointerException.class, () -> Mask.of(null, 1), "counts", "expected");
    assertRefused(
        IllegalArgumentException.class,
        () -> Mask.lengths(3, -1),
        "length of example 1 is -1",
        "expected 0 or more");
    assertRefused(IllegalArgumentException.class, () -> Mask.lengths(), "no lengths", "expected");
    assertRefused(
        NullPointerException.class, () -> Mask.lengths((long[]) null), "lengths", "expected");
    assertRefused(
        IllegalArgumentException.class, () -> Mask.lengths(1).along(0), "axis", "is 0", "expected");
  }

  @Test
  void refusesWhatOneOfTheOtherKindHas() {
    Mask counts = Mask.of(new boolean[2], 2);
    assertRefused(IllegalStateException.class, () -> counts.along(1), "[2]", "Mask.lengths");
    assertRefused(IllegalStateException.class, counts::axis, "[2]", "Mask.lengths");
    assertRefused(IllegalStateException.class, counts::exampleLengths, "[2]", "Mask.lengths");
    Mask lengths = Mask.lengths(2);
    assertRefused(IllegalStateException.class, lengths::shape, "1 lengths", "Mask.of");
    assertRefused(IllegalStateException.class, () -> lengths.counts(0), "1 lengths", "Mask.of");
  }

  @Test
  void passesThroughAStream() throws Exception {
    for (Mask mask : new Mask[] {
      Mask.of(new boolean[] {true, false}, 2, 1),
      Mask.lengths(4, 0),
      Mask.lengths(4, 0).along(-1)
    }) {
      assertEquals(mask, Streams.read(Streams.write(mask)));
    }
  }

  @Test
  void aStreamOfWhatTheFactoriesRefuseIsRefused() throws Exception {
    byte[] stream = Streams.write(Mask.lengths(4711));
    byte[] forged = Streams.replace(
        stream,
        ByteBuffer.allocate(8).putLong(4711).array(),
        ByteBuffer.allocate(8).putLong(-4711).array());
    assertRefused(
        InvalidObjectException.class, () -> Streams.read(forged), "-4711", "expected 0 or more");

    byte[] direct = Streams.ofDefaults(Mask.class);
    byte[] nulls = Streams.ofDefaults(Class.forName("dev.vbn.tensor.Mask$Serialized"));
    assertRefused(InvalidObjectException.class, () -> Streams.read(direct), "expected");
    assertRefused(InvalidObjectException.class, () -> Streams.read(nulls), "does not hold");
  }
}
