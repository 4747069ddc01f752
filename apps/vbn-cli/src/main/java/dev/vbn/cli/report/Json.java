package dev.vbn.cli.report;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * JSON as the reports write it: indented, with nulls, and in ASCII, in which even half a character
 * can be written. JSON has no NaN and no infinity, which become texts.
 */
public final class Json {
  private static final JSON WRITER = JSON.builder(
          JsonFactory.builder().enable(JsonWriteFeature.ESCAPE_NON_ASCII).build())
      .enable(JSON.Feature.PRETTY_PRINT_OUTPUT, JSON.Feature.WRITE_NULL_PROPERTIES)
      .build();

  private Json() {}

  /** The text, with a line break at its end. */
  public static String of(Map<String, ? extends @Nullable Object> value) {
    try {
      return WRITER.asString(value) + "\n";
    } catch (IOException e) {
      throw new UncheckedIOException(e); // of a text in memory there is none
    }
  }
}
