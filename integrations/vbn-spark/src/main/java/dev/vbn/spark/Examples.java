package dev.vbn.spark;

import static java.util.Objects.requireNonNull;

import dev.vbn.tensor.HostTensor;
import java.io.Serializable;
import java.util.Arrays;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;
import scala.collection.Seq;

/**
 * How a column holds examples: vectors and arrays of numbers have one element of each feature,
 * sequences an array of these for each position.
 */
final class Examples implements Serializable {
  private static final long serialVersionUID = 1L;

  private final String column;
  private final boolean vector;
  private final boolean sequence;
  private final boolean floats;
  private final @Nullable String lengths;

  private Examples(
      String column, boolean vector, boolean sequence, boolean floats, @Nullable String lengths) {
    this.column = column;
    this.lengths = lengths;
    this.vector = vector;
    this.sequence = sequence;
    this.floats = floats;
  }

  /**
   * The examples of a column.
   *
   * @param lengths column of the lengths of sequences; null if there is none
   * @throws IllegalArgumentException if the columns are not there or of other types
   */
  static Examples of(StructType schema, String column, @Nullable String lengths) {
    DataType type = field(schema, column).dataType();
    boolean sequence = type instanceof ArrayType array && isNumbers(array.elementType());
    boolean vector = type.equals(SQLDataTypes.VectorType());
    if (!sequence && !isNumbers(type) && !vector) {
      throw new IllegalArgumentException("column '" + column + "' is of type "
          + name(type) + "; expected vector, array<float>, array<double>,"
          + " or of sequences array<array<float>> or array<array<double>>");
    }
    if (lengths != null) {
      requireLengths(field(schema, lengths), column, type, sequence);
    }
    boolean floats = type.catalogString().contains("float");
    return new Examples(column, vector, sequence, floats, lengths);
  }

  private static void requireLengths(
      StructField lengths, String column, DataType type, boolean sequence) {
    if (!sequence) {
      throw new IllegalArgumentException("lengths were given in column '" + lengths.name()
          + "' for column '" + column + "' of type " + name(type)
          + "; expected lengths for sequences alone: array<array<float>> or array<array<double>>");
    }
    DataType lengthType = lengths.dataType();
    if (!lengthType.equals(DataTypes.IntegerType) && !lengthType.equals(DataTypes.LongType)) {
      throw new IllegalArgumentException("column '" + lengths.name() + "' of lengths is of type "
          + name(lengthType) + "; expected int or bigint");
    }
  }

  private static String name(DataType type) {
    return type.equals(SQLDataTypes.VectorType()) ? "vector" : type.catalogString();
  }

  /** The field of a column that has to be there. */
  static StructField field(StructType schema, String column) {
    return Arrays.stream(schema.fields())
        .filter(field -> field.name().equals(column))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("there is no column '" + column
            + "'; expected one of " + String.join(", ", schema.fieldNames())));
  }

  private static boolean isNumbers(DataType type) {
    return type instanceof ArrayType array
        && (array.elementType().equals(DataTypes.FloatType)
            || array.elementType().equals(DataTypes.DoubleType));
  }

  String column() {
    return column;
  }

  /** Type of a column of such examples. */
  DataType type() {
    if (vector) {
      return SQLDataTypes.VectorType();
    }
    DataType numbers =
        DataTypes.createArrayType(floats ? DataTypes.FloatType : DataTypes.DoubleType, false);
    return sequence ? DataTypes.createArrayType(numbers, false) : numbers;
  }

  /** Whether examples have positions. */
  boolean areSequences() {
    return sequence;
  }

  /** Whether examples are vectors of MLlib, which have 64 bits. */
  boolean areVectors() {
    return vector;
  }

  /**
   * The positions of an example that count, which are the first ones.
   *
   * @param length number of them, as the column of lengths has it; null where there is no such column
   * @return shape {@code [1, features]}, or {@code [1, length, features]} of a sequence; null if no
   *     position counts
   */
  @Nullable
  HostTensor read(@Nullable Object example, @Nullable Object length) {
    if (example == null) {
      throw new IllegalArgumentException(
          "column '" + column + "' has null in a row; expected an example in every row");
    }
    if (vector) {
      double[] values = ((Vector) example).toArray();
      return HostTensor.of(values, 1, requireFeatures(values.length));
    }
    Seq<?> values = (Seq<?>) example;
    if (!sequence) {
      return read(values, 1, requireFeatures(values.length()), 1, values.length());
    }
    int count = count(values, length);
    if (count == 0) {
      return null;
    }
    int features = requireFeatures(position(values, 0).length());
    return read(values, count, features, 1, count, features);
  }

  private int count(Seq<?> positions, @Nullable Object length) {
    if (lengths == null) {
      return positions.length();
    }
    if (length == null) {
      throw new IllegalArgumentException("column '" + lengths
          + "' of lengths has null in a row; expected a length of 0 to " + positions.length());
    }
    long count = ((Number) length).longValue();
    if (count < 0 || count > positions.length()) {
      throw new IllegalArgumentException("column '" + column + "' has a sequence of "
          + positions.length() + " positions with length " + count + "; expected a length of 0 to "
          + positions.length());
    }
    return (int) count;
  }

  private HostTensor read(Seq<?> values, int count, int features, long... shape) {
    float[] singles = new float[floats ? count * features : 0];
    double[] doubles = new double[floats ? 0 : count * features];
    for (int p = 0; p < count; p++) {
      Seq<?> position = sequence ? position(values, p) : values;
      if (position.length() != features) {
        throw new IllegalArgumentException("column '" + column + "' has a sequence with "
            + position.length() + " values at position " + p + "; expected " + features
            + ", as at position 0");
      }
      for (int i = 0; i < features; i++) {
        Object value = position.apply(i);
        if (value == null) {
          throw new IllegalArgumentException("column '" + column
              + "' has an example with null for feature " + i + "; expected a number");
        }
        if (floats) {
          singles[p * features + i] = (Float) value;
        } else {
          doubles[p * features + i] = (Double) value;
        }
      }
    }
    return floats ? HostTensor.of(singles, shape) : HostTensor.of(doubles, shape);
  }

  private Seq<?> position(Seq<?> sequence, int position) {
    Object values = sequence.apply(position);
    if (values == null) {
      throw new IllegalArgumentException("column '" + column + "' has a sequence with null at"
          + " position " + position + "; expected an array of numbers");
    }
    return (Seq<?>) values;
  }

  private int requireFeatures(int features) {
    if (features == 0) {
      throw new IllegalArgumentException(
          "column '" + column + "' has an example without values; expected one of each feature");
    }
    return features;
  }

  /**
   * An example as a row of the column, with zeros at the positions that do not count.
   *
   * @param like the row that it was read from
   * @param counted what {@link #read} gives, or a tensor of its shape and type
   */
  Object write(Object like, @Nullable HostTensor counted, int features) {
    if (!sequence) {
      HostTensor values = requireNonNull(counted); // it has its one position
      if (floats) {
        return values.floats();
      }
      return vector ? Vectors.dense(values.doubles()) : values.doubles();
    }
    Object[] positions = new Object[((Seq<?>) like).length()];
    for (int p = 0; p < positions.length; p++) {
      int from = p * features;
      if (counted == null || from >= counted.size()) {
        positions[p] = floats ? new float[features] : new double[features];
      } else {
        positions[p] = floats
            ? Arrays.copyOfRange(counted.floats(), from, from + features)
            : Arrays.copyOfRange(counted.doubles(), from, from + features);
      }
    }
    return positions;
  }
}
