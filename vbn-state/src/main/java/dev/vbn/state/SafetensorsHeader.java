package dev.vbn.state;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.exc.StreamReadException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The header of a safetensors file: a JSON object of
 * {@code "name": {"dtype", "shape", "data_offsets": [begin, end]}}, with texts under
 * {@code __metadata__}. It is read whole and checked before any tensor is.
 *
 * <p>As in the reference implementation, the data of the tensors follow each other without gaps, in
 * any order of the names.
 */
final class SafetensorsHeader {
  static final String METADATA = "__metadata__";
  /** In 4 MB of header there is room for texts that take 50 MB once they are read. */
  static final int MAX_TEXTS = 1 << 16;

  private static final int MAX_RANK = 64;

  private static final JsonFactory JSON = JsonFactory.builder()
      .streamReadConstraints(StreamReadConstraints.builder()
          .maxNestingDepth(8)
          .maxNameLength(1 << 14)
          .maxNumberLength(20)
          .maxStringLength(1 << 20)
          .build())
      .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
      .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
      .build();

  /** One tensor, with the place of its data after the header. */
  record Entry(String name, String dtype, long[] shape, long begin, long end) {}

  private final String source;
  private final Map<String, String> texts = new LinkedHashMap<>();
  private final List<Entry> entries = new ArrayList<>();

  private SafetensorsHeader(String source) {
    this.source = source;
  }

  static SafetensorsHeader parse(byte[] json, String source) throws IOException {
    SafetensorsHeader header = new SafetensorsHeader(source);
    if (json.length == 0 || json[0] != '{') {
      throw header.error("header is no JSON object", "one that begins with '{'");
    }
    try (JsonParser parser = JSON.createParser(decode(json, source))) {
      header.read(parser);
    } catch (StreamConstraintsException e) {
      throw new StateException(
          source + ": header is beyond what is read (" + reason(e) + "); expected safetensors", e);
    } catch (JsonParseException e) {
      throw new StateException(
          source + ": header is no JSON (" + reason(e) + "); expected safetensors", e);
    } catch (StreamReadException e) {
      throw new StateException(
          source + ": header has a number beyond 64 bits (" + reason(e) + "); expected safetensors",
          e);
    }
    header.requireDense();
    return header;
  }

  /** Strictly: a parser of bytes would also guess at UTF-16 and UTF-32. */
  private static String decode(byte[] json, String source) throws StateException {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(json)).toString();
    } catch (CharacterCodingException e) {
      throw new StateException(source + ": header is not UTF-8; expected safetensors", e);
    }
  }

  private static String reason(JsonProcessingException e) {
    return NpyHeader.printable(e.getOriginalMessage());
  }

  private void read(JsonParser parser) throws IOException {
    require(parser, parser.nextToken(), JsonToken.START_OBJECT, "the header");
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String name = parser.currentName();
      parser.nextToken();
      if (name.equals(METADATA)) {
        readTexts(parser);
      } else {
        entries.add(readEntry(parser, name));
      }
    }
    if (parser.nextToken() != null) {
      throw error("header goes on behind its object", "spaces alone");
    }
  }

  private void readTexts(JsonParser parser) throws IOException {
    require(parser, parser.currentToken(), JsonToken.START_OBJECT, METADATA);
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String key = parser.currentName();
      require(
          parser,
          parser.nextToken(),
          JsonToken.VALUE_STRING,
          METADATA + " '" + NpyHeader.printable(key) + "'");
      if (texts.size() == MAX_TEXTS) {
        throw error(METADATA + " has more than " + MAX_TEXTS + " texts", "at most so many");
      }
      texts.put(key, parser.getText());
    }
  }

  private Entry readEntry(JsonParser parser, String name) throws IOException {
    String what = "tensor '" + NpyHeader.printable(name) + "'";
    require(parser, parser.currentToken(), JsonToken.START_OBJECT, what);
    String dtype = null;
    long[] shape = null;
    long[] offsets = null;
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String field = parser.currentName();
      JsonToken value = parser.nextToken();
      switch (field) {
        case "dtype" -> {
          require(parser, value, JsonToken.VALUE_STRING, what + ", dtype");
          dtype = parser.getText();
        }
        case "shape" -> shape = readLongs(parser, what + ", shape", MAX_RANK);
        case "data_offsets" -> offsets = readLongs(parser, what + ", data_offsets", 2);
        default ->
          throw error(
              what + " has a field '" + NpyHeader.printable(field) + "'",
              "dtype, shape and data_offsets");
      }
    }
    if (dtype == null || shape == null || offsets == null) {
      throw error(
          what + " has no " + (dtype == null ? "dtype" : shape == null ? "shape" : "data_offsets"),
          "dtype, shape and data_offsets");
    }
    if (offsets.length != 2 || offsets[1] < offsets[0]) {
      throw error(what + " has data_offsets " + Arrays.toString(offsets), "its begin and its end");
    }
    return checked(what, new Entry(name, dtype, shape, offsets[0], offsets[1]));
  }

  private long[] readLongs(JsonParser parser, String what, int most) throws IOException {
    require(parser, parser.currentToken(), JsonToken.START_ARRAY, what);
    long[] values = new long[0];
    while (parser.nextToken() != JsonToken.END_ARRAY) {
      require(parser, parser.currentToken(), JsonToken.VALUE_NUMBER_INT, what);
      long value = parser.getLongValue();
      if (value < 0) {
        throw error(what + " has " + value, "0 or more");
      }
      if (values.length == most) {
        throw error(what + " has more than " + most + " numbers", "at most so many");
      }
      values = Arrays.copyOf(values, values.length + 1);
      values[values.length - 1] = value;
    }
    return values;
  }

  /** The shape and the type give the length of the data, where the type is known. */
  private Entry checked(String what, Entry entry) throws StateException {
    long bits = bits(entry.dtype());
    if (bits < 0) {
      throw error(what + " has dtype '" + NpyHeader.printable(entry.dtype()) + "'", "F32 or F64");
    }
    long bytes;
    try {
      long elements = 1;
      for (long length : entry.shape()) {
        elements = Math.multiplyExact(elements, length);
      }
      bytes = Math.multiplyExact(elements, bits / 8);
    } catch (ArithmeticException e) {
      throw new StateException(
          source + ": " + what + " has shape " + Arrays.toString(entry.shape())
              + ", more elements than 64 bits count; expected what a file can hold",
          e);
    }
    if (bytes != entry.end() - entry.begin()) {
      throw error(
          what + " has " + (entry.end() - entry.begin()) + " bytes at its data_offsets",
          bytes + " for " + entry.dtype() + " " + Arrays.toString(entry.shape()));
    }
    return entry;
  }

  /** Bits of an element of one of the format's types; below 0 for any other. */
  private static long bits(String dtype) {
    return switch (dtype) {
      case "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0" -> 8;
      case "I16", "U16", "F16", "BF16" -> 16;
      case "I32", "U32", "F32" -> 32;
      case "F64", "I64", "U64", "C64" -> 64;
      default -> -1;
    };
  }

  private void requireDense() throws StateException {
    entries.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    long at = 0;
    for (Entry entry : entries) {
      if (entry.begin() != at) {
        throw error(
            "tensor '" + NpyHeader.printable(entry.name()) + "' begins at " + entry.begin(),
            at + ", where the tensor before it ends");
      }
      at = entry.end();
    }
  }

  private void require(
      JsonParser parser, @Nullable JsonToken token, JsonToken expected, String what)
      throws IOException {
    if (token != expected) {
      String given = token == null ? "the end" : NpyHeader.printable(parser.getText());
      throw error(
          what + " has " + given,
          switch (expected) {
            case START_OBJECT -> "an object";
            case START_ARRAY -> "an array";
            case VALUE_STRING -> "a text";
            default -> "a whole number";
          });
    }
  }

  private StateException error(String problem, String expected) {
    return new StateException(source + ": " + problem + "; expected " + expected);
  }

  /** The tensors in the order of their data. */
  List<Entry> entries() {
    return entries;
  }

  /** What stands under {@code __metadata__}. */
  Map<String, String> texts() {
    return texts;
  }

  /** Bytes of all data. */
  long dataBytes() {
    return entries.isEmpty() ? 0 : entries.get(entries.size() - 1).end();
  }
}
