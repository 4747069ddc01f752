package dev.vbn.tensor;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The tensor over a plain array: it wraps what it is given and copies what it gives. */
final class HostTensorTest {

  @Test
  void floatsAreWrapped() {
    float[] array = {1, 2, 3, 4, 5, 6};
    HostTensor tensor = HostTensor.of(array, 2, 3);
    array[4] = 50;

    assertEquals(DType.FLOAT32, tensor.dtype());
    assertSame(array, tensor.floats());
    assertArrayEquals(new long[] {2, 3}, tensor.shape());
    assertEquals(6, tensor.size());
    assertEquals(50, tensor.get(4));
  }

  @Test
  void doublesAreWrapped() {
    double[] array = {1, 2, 3, 4, 5, 6};
    HostTensor tensor = HostTensor.of(array, 3, 2);
    array[4] = 0.1;

    assertEquals(DType.FLOAT64, tensor.dtype());
    assertSame(array, tensor.doubles());
    assertArrayEquals(new long[] {3, 2}, tensor.shape());
    assertEquals(6, tensor.size());
    assertEquals(0.1, tensor.get(4));
  }

  @Test
  void theShapeIsCopiedInAndOut() {
    long[] shape = {2, 3};
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, shape);
    shape[0] = 7;
    tensor.shape()[1] = 7;

    assertArrayEquals(new long[] {2, 3}, tensor.shape());
  }

  @Test
  void noAxisMakesAScalarAndAnEmptyAxisAnEmptyTensor() {
    assertEquals(1, HostTensor.of(new float[1]).size());
    assertEquals(0, HostTensor.of(new double[0], 2, 0).size());
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT32", "FLOAT64"})
  void zerosAreZerosOfTheType(DType dtype) {
    HostTensor tensor = HostTensor.zeros(dtype, 2, 2);

    assertEquals(dtype, tensor.dtype());
    assertArrayEquals(new double[4], tensor.toDoubles());
  }

  @Test
  void elementsOfAnotherTypeAreRefused() {
    assertRefused(
        IllegalStateException.class,
        () -> HostTensor.of(new double[1]).floats(),
        "tensor is FLOAT64",
        "expected FLOAT32");
    assertRefused(
        IllegalStateException.class,
        () -> HostTensor.of(new float[1]).doubles(),
        "tensor is FLOAT32",
        "expected FLOAT64");
  }

  @Test
  void toDoublesIsACopy() {
    double[] doubles = {1, 2};
    float[] floats = {1, 2};

    assertNotSame(doubles, HostTensor.of(doubles, 2).toDoubles());
    assertArrayEquals(new double[] {1, 2}, HostTensor.of(doubles, 2).toDoubles());
    assertArrayEquals(new double[] {1, 2}, HostTensor.of(floats, 2).toDoubles());
  }

  @Test
  void toRoundsEachElementAndKeepsTheShape() {
    HostTensor tensor = HostTensor.of(new double[] {0.1, 65520}, 1, 2);

    assertConverted(tensor.to(DType.FLOAT64), DType.FLOAT64, 0.1, 65520);
    assertConverted(tensor.to(DType.FLOAT32), DType.FLOAT32, 0.10000000149011612, 65520);
    assertConverted(
        tensor.to(DType.FLOAT16), DType.FLOAT32, 0.0999755859375, Double.POSITIVE_INFINITY);
    assertConverted(tensor.to(DType.BFLOAT16), DType.FLOAT32, 0.10009765625, 65536);
  }

  private static void assertConverted(HostTensor tensor, DType dtype, double... values) {
    assertEquals(dtype, tensor.dtype());
    assertArrayEquals(new long[] {1, 2}, tensor.shape());
    assertArrayEquals(values, tensor.toDoubles());
  }

  @Test
  void toIsACopyAlsoOfTheSameType() {
    HostTensor doubles = HostTensor.of(new double[] {1}, 1);
    HostTensor floats = HostTensor.of(new float[] {1}, 1);

    assertNotSame(doubles.doubles(), doubles.to(DType.FLOAT64).doubles());
    assertNotSame(floats.floats(), floats.to(DType.FLOAT32).floats());
  }

  @Test
  void anArrayThatDoesNotFillTheShapeIsRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.of(new float[5], 2, 3),
        "array has 5 elements",
        "expected 6",
        "[2, 3]");
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.of(new double[0]),
        "array has 0 elements",
        "expected 1",
        "[]");
  }

  @Test
  void aNegativeLengthIsRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.of(new float[6], -2, -3),
        "[-2, -3]",
        "negative",
        "expected 0 or more");
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.zeros(DType.FLOAT64, -1),
        "[-1]",
        "expected 0 or more");
  }

  @Test
  void moreElementsThanAnArrayHoldsAreRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.zeros(DType.FLOAT32, 1L << 20, 1L << 20),
        "[1048576, 1048576]",
        "1099511627776",
        "expected at most");
  }

  @Test
  void moreElementsThanALongCountsAreRefusedToo() {
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.zeros(DType.FLOAT32, Long.MAX_VALUE, 4),
        "[9223372036854775807, 4]",
        "expected");
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.of(new float[4], Long.MAX_VALUE, 4),
        "[9223372036854775807, 4]",
        "expected");
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT16", "BFLOAT16"})
  void the16BitTypesHaveNoHostTensor(DType dtype) {
    assertRefused(
        IllegalArgumentException.class,
        () -> HostTensor.zeros(dtype, 1),
        dtype.name(),
        "expected FLOAT32 or FLOAT64");
  }

  @Test
  void nullsAreRefusedByName() {
    assertRefused(
        NullPointerException.class,
        () -> HostTensor.of((float[]) null, 1),
        "array is null",
        "expected float[]");
    assertRefused(
        NullPointerException.class,
        () -> HostTensor.of((double[]) null, 1),
        "array is null",
        "expected double[]");
    assertRefused(
        NullPointerException.class,
        () -> HostTensor.of(new float[1], (long[]) null),
        "shape is null",
        "expected");
    assertRefused(
        NullPointerException.class,
        () -> HostTensor.zeros(DType.FLOAT32, (long[]) null),
        "shape is null",
        "expected");
  }

  @Test
  void itsTextNamesTypeAndShape() {
    assertEquals(
        "HostTensor FLOAT32 [2, 3]", HostTensor.zeros(DType.FLOAT32, 2, 3).toString());
  }
}
