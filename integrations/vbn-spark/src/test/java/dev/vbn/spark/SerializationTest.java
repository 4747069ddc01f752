package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.ByteBuffer;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.serializer.JavaSerializer;
import org.apache.spark.serializer.KryoSerializer;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.serializer.SerializerInstance;
import org.junit.jupiter.api.Test;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/** What goes between tasks goes by Java's serialisation and by Kryo's. */
class SerializationTest {
  private static final List<Serializer> SERIALIZERS =
      List.of(new JavaSerializer(new SparkConf()), new KryoSerializer(new SparkConf()));

  private static <T> T copy(Serializer serializer, T object, Class<T> type) {
    ClassTag<T> tag = ClassTag$.MODULE$.apply(type);
    SerializerInstance instance = serializer.newInstance();
    ByteBuffer bytes = instance.serialize(object, tag);
    return instance.deserialize(bytes, tag);
  }

  @Test
  void sumsGoOnAfterTheJourney() {
    double[][] examples = LocalSpark.examples(50, 3);
    for (Serializer serializer : SERIALIZERS) {
      MomentsSum sum = new MomentsSum("test");
      MomentsSum other = new MomentsSum("test");
      for (int i = 0; i < examples.length; i++) {
        (i % 2 == 0 ? sum : other).add(examples[i]);
        sum = copy(serializer, sum, MomentsSum.class);
      }
      sum.merge(copy(serializer, other, MomentsSum.class));
      assertEquals(new MomentsSum("test").merge(sum).finiteResult(), sum.finiteResult(), "merged");
      assertEquals(
          Formula.mean(List.of(examples))[2], sum.finiteResult().mean()[2], serializer.toString());
      assertEquals(
          Formula.variance(List.of(examples))[1],
          sum.finiteResult().variance()[1],
          serializer.toString());
      assertNull(copy(serializer, new MomentsSum("test"), MomentsSum.class).result());
      assertNotNull(sum.result());
    }
  }

  @Test
  void modelsAreSerializable() {
    VirtualBatchNormalizerModel model =
        new VirtualBatchNormalizer().fit(LocalSpark.vectors(LocalSpark.examples(9, 2)));
    VirtualBatchNormalizerModel copy =
        copy(SERIALIZERS.get(0), model, VirtualBatchNormalizerModel.class);
    assertEquals(model.moments(), copy.moments());
    assertEquals("reference-only", copy.getOrDefault(copy.variant()));
  }
}
