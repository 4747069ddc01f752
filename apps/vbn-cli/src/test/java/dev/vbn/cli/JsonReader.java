package dev.vbn.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.util.Map;

/** Reads JSON in which no key stands twice. */
final class JsonReader {
  private static final JSON READER = JSON.builder(JsonFactory.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .build())
      .build();

  private JsonReader() {}

  static Map<String, Object> read(String json) throws IOException {
    return READER.mapFrom(json);
  }
}
