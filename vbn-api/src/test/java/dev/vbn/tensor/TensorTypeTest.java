package dev.vbn.tensor;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** A type at run time, with its arguments where it has some. */
final class TensorTypeTest {

  @Test
  void aClassIsItself() {
    TensorType<HostTensor> type = TensorType.of(HostTensor.class);

    assertEquals(HostTensor.class, type.type());
    assertEquals(HostTensor.class, type.rawClass());
    assertEquals("dev.vbn.tensor.HostTensor", type.toString());
  }

  @Test
  void aTypeKeepsItsArguments() {
    TensorType<Map<String, List<HostTensor>>> type = new TensorType<>() {};

    assertEquals(Map.class, type.rawClass());
    assertEquals(
        "java.util.Map<java.lang.String, java.util.List<dev.vbn.tensor.HostTensor>>",
        type.toString());
  }

  @Test
  void theSameTypeIsEqualHoweverItIsWritten() {
    TensorType<HostTensor> written = new TensorType<>() {};
    assertEquals(TensorType.of(HostTensor.class), written);
    assertEquals(TensorType.of(HostTensor.class).hashCode(), written.hashCode());

    TensorType<List<String>> one = new TensorType<>() {};
    TensorType<List<String>> other = new TensorType<>() {};
    assertEquals(one, other);
    assertEquals(one.hashCode(), other.hashCode());
  }

  @Test
  void otherTypesAreNot() {
    TensorType<List<String>> strings = new TensorType<>() {};
    TensorType<List<Integer>> integers = new TensorType<>() {};

    assertNotEquals(strings, integers);
    assertNotEquals(strings, TensorType.of(List.class));
    assertNotEquals(strings, List.class);
  }

  @Test
  void anArrayIsAClassToo() {
    assertEquals("float[]", TensorType.of(float[].class).toString());
    assertEquals(TensorType.of(float[].class), new TensorType<float[]>() {});
  }

  @Test
  void noClassIsRefused() {
    assertRefused(
        NullPointerException.class, () -> TensorType.of(null), "type is null", "expected");
  }

  /** Asks for a type variable, which is no type at run time. */
  private static <T> TensorType<T> variable() {
    return new TensorType<>() {};
  }

  @Test
  void aTypeVariableIsRefused() {
    assertRefused(
        IllegalStateException.class,
        TensorTypeTest::variable,
        "tensor type is T",
        "expected a class, with or without arguments");
  }

  @Test
  void anArrayOfATypeWithArgumentsIsRefused() {
    assertRefused(
        IllegalStateException.class,
        () -> new TensorType<List<String>[]>() {},
        "java.util.List<java.lang.String>[]",
        "expected a class, with or without arguments");
  }

  private static class Named extends TensorType<String> {}

  private static final class Further extends Named {}

  @Test
  void aNamedSubclassStandsForItsTypeAndItsOwnSubclassesForNone() {
    assertEquals(String.class, new Named().type());
    assertRefused(
        IllegalStateException.class,
        Further::new,
        "TensorTypeTest$Further does not say of what type",
        "expected new TensorType<X>() {}");
  }

  @Test
  @SuppressWarnings("rawtypes")
  void aRawSubclassIsRefused() {
    assertRefused(
        IllegalStateException.class, () -> new TensorType() {}, "does not say of what type");
  }
}
