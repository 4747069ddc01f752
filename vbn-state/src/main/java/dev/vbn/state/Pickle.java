package dev.vbn.state;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Reads one of Python's pickles, as far as PyTorch writes them for tensors in dictionaries.
 *
 * <p>A pickle is a program that may call any function of Python. Here it can build dictionaries, lists,
 * tuples, texts and numbers, and name the few functions and classes of {@link #rebuild}, which stand
 * for tensors and run nothing. Anything else is refused by its name. The steps and the bytes that a
 * pickle may have are bounded, and so is the memory that it takes.
 *
 * <p>Values are {@link Map}, {@link List}, {@link Tuple}, {@link String}, {@link BigInteger}, {@link
 * Double}, {@link Boolean}, {@link TorchTensor}, {@link TorchStorage} and {@link Nothing}.
 *
 * @see <a href="https://github.com/python/cpython/blob/main/Lib/pickletools.py">pickletools</a>, which
 *     says what each opcode does
 */
final class Pickle {
  private static final int MAX_BYTES = 1 << 22;

  /** Room for some 10,000 tensors. */
  private static final int MAX_VALUES = 1 << 18;

  private static final String ORDERED_DICT = "collections OrderedDict";
  private static final String UNTYPED_STORAGE = "torch.storage UntypedStorage";

  private static final Set<String> FUNCTIONS = Set.of(
      ORDERED_DICT,
      "torch._utils _rebuild_tensor",
      "torch._utils _rebuild_tensor_v2",
      "torch._utils _rebuild_tensor_v3",
      "torch._utils _rebuild_parameter");

  /** Types without a storage class, which {@code _rebuild_tensor_v3} names. */
  private static final Set<String> TYPES = Set.of(
      "torch uint16",
      "torch uint32",
      "torch uint64",
      "torch float8_e4m3fn",
      "torch float8_e4m3fnuz",
      "torch float8_e5m2",
      "torch float8_e5m2fnuz");

  /** Python's None. */
  enum Nothing {
    NONE
  }

  /** Python's tuple. */
  record Tuple(List<Object> values) {}

  /** A function or class, by module and name; one of those that are known. */
  private record Global(String name) {}

  private final InputStream in;
  private final String source;
  private long position;
  private int values;
  private List<Object> stack = new ArrayList<>();
  private final Deque<List<Object>> marked = new ArrayDeque<>();
  private final Map<Integer, Object> memo = new HashMap<>();

  private Pickle(InputStream in, String source) {
    this.in = in;
    this.source = source;
  }

  /**
   * Reads from a stream up to the pickle's end.
   *
   * @throws StateException if it is not a whole pickle of what is named above
   */
  static Object read(InputStream in, String source) throws IOException {
    return new Pickle(in, source).run();
  }

  private Object run() throws IOException {
    if (next() != 0x80) {
      throw error("begins with no protocol", "a pickle of protocol 2 or newer");
    }
    int protocol = next();
    if (protocol < 2 || protocol > 5) {
      throw error("is of protocol " + protocol, "2 to 5");
    }
    while (true) {
      int opcode = next();
      if (opcode == '.') {
        Object result = pop();
        if (!stack.isEmpty() || !marked.isEmpty()) {
          throw error("ends with more than one value", "one");
        }
        return result;
      }
      step(opcode);
    }
  }

  private void step(int opcode) throws IOException {
    switch (opcode) {
      case '(' -> {
        count();
        marked.push(stack);
        stack = new ArrayList<>();
      }
      case '0' -> pop();
      case '1' -> popMarked();
      case '2' -> push(peek());
      case 'N' -> push(Nothing.NONE);
      case 0x88 -> push(true);
      case 0x89 -> push(false);
      case 'J' -> push(BigInteger.valueOf(little(4) << 32 >> 32)); // signed
      case 'K' -> push(BigInteger.valueOf(next()));
      case 'M' -> push(BigInteger.valueOf(little(2)));
      case 0x8a -> push(integer(next()));
      case 'G' -> push(Double.longBitsToDouble(Long.reverseBytes(little(8))));
      case 'U' -> push(text(next(), ISO_8859_1)); // of Python 2
      case 'T' -> push(text(little(4), ISO_8859_1));
      case 0x8c -> push(text(next(), UTF_8));
      case 'X' -> push(text(little(4), UTF_8));
      case 0x8d -> push(text(little(8), UTF_8));
      case '}' -> push(new LinkedHashMap<Object, Object>());
      case ']' -> push(new ArrayList<Object>());
      case ')' -> push(new Tuple(List.of()));
      case 't' -> push(new Tuple(popMarked()));
      case 0x85 -> tuple(1);
      case 0x86 -> tuple(2);
      case 0x87 -> tuple(3);
      case 'a' -> append(List.of(pop()));
      case 'e' -> append(popMarked());
      case 's' -> {
        Object value = pop();
        setItems(List.of(pop(), value));
      }
      case 'u' -> setItems(popMarked());
      case 'q' -> put(next());
      case 'r' -> put((int) little(4));
      case 0x94 -> put(memo.size());
      case 'h' -> get(next());
      case 'j' -> get((int) little(4));
      case 'c' -> push(global(line(), line()));
      case 0x93 -> {
        Object name = pop();
        push(global(pop(), name));
      }
      case 'Q' -> push(storage(pop()));
      case 'R' -> {
        Object arguments = pop();
        push(rebuild(pop(), arguments));
      }
      case 'b' -> build();
      case 0x95 -> little(8); // a frame, whose length only helps readers that read ahead
      default ->
        throw error(
            String.format("has the opcode 0x%02x", opcode), "what a dictionary of tensors needs");
    }
  }

  // The stream

  private int next() throws IOException {
    int value = in.read();
    if (value < 0) {
      throw error("ends early", "a whole pickle");
    }
    position++;
    if (position > MAX_BYTES) {
      throw error("is longer", "at most " + MAX_BYTES + " bytes");
    }
    return value;
  }

  private long little(int bytes) throws IOException {
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      value |= (long) next() << (8 * i);
    }
    return value;
  }

  private byte[] bytes(long length) throws IOException {
    if (length < 0 || length > MAX_BYTES - position) {
      throw error(
          "has a text of " + Long.toUnsignedString(length) + " bytes",
          "at most " + MAX_BYTES + " bytes in all");
    }
    byte[] bytes = in.readNBytes((int) length);
    position += bytes.length;
    if (bytes.length < length) {
      throw error("ends early", "a whole pickle");
    }
    return bytes;
  }

  private String text(long length, Charset charset) throws IOException {
    try {
      return charset.newDecoder().decode(ByteBuffer.wrap(bytes(length))).toString();
    } catch (CharacterCodingException e) {
      throw new StateException(
          source + ": has a text that is not UTF-8 before byte " + position + "; expected one", e);
    }
  }

  private BigInteger integer(int length) throws IOException {
    byte[] little = bytes(length);
    byte[] big = new byte[length];
    for (int i = 0; i < length; i++) {
      big[i] = little[length - 1 - i];
    }
    return length == 0 ? BigInteger.ZERO : new BigInteger(big);
  }

  private String line() throws IOException {
    StringBuilder line = new StringBuilder();
    for (int c = next(); c != '\n'; c = next()) {
      line.append((char) c);
    }
    return line.toString();
  }

  // The stack

  private void count() throws StateException {
    values++;
    if (values > MAX_VALUES) {
      throw error("makes more values", "at most " + MAX_VALUES);
    }
  }

  private void push(Object value) throws StateException {
    count();
    stack.add(value);
  }

  private Object peek() throws StateException {
    if (stack.isEmpty()) {
      throw error("takes a value where there is none", "a whole pickle");
    }
    return stack.get(stack.size() - 1);
  }

  private Object pop() throws StateException {
    Object value = peek();
    stack.remove(stack.size() - 1);
    return value;
  }

  private List<Object> popMarked() throws StateException {
    if (marked.isEmpty()) {
      throw error("takes values since a mark where there is none", "a whole pickle");
    }
    List<Object> since = stack;
    stack = marked.pop();
    return since;
  }

  private void tuple(int length) throws StateException {
    Object[] parts = new Object[length];
    for (int i = length - 1; i >= 0; i--) {
      parts[i] = pop();
    }
    push(new Tuple(List.of(parts)));
  }

  private void put(int index) throws StateException {
    count();
    memo.put(index, peek());
  }

  private void get(int index) throws StateException {
    Object value = memo.get(index);
    if (value == null) {
      throw error("takes value " + Integer.toUnsignedString(index), "one that was put there");
    }
    push(value);
  }

  // Containers

  @SuppressWarnings("unchecked") // lists are made above
  private void append(List<Object> added) throws StateException {
    if (!(peek() instanceof List<?> list)) {
      throw error("appends to what is no list", "a list");
    }
    ((List<Object>) list).addAll(added);
  }

  @SuppressWarnings("unchecked") // dictionaries are made above
  private void setItems(List<Object> items) throws StateException {
    if (!(peek() instanceof Map<?, ?> map)) {
      throw error("sets items of what is no dictionary", "a dictionary");
    }
    if (items.size() % 2 != 0) {
      throw error("sets a key without a value", "both");
    }
    for (int i = 0; i < items.size(); i += 2) {
      Object key = items.get(i);
      if (!(key instanceof String || key instanceof BigInteger)) {
        throw error("has a key that is no text and no number", "one");
      }
      ((Map<Object, Object>) map).put(key, items.get(i + 1));
    }
  }

  /** Sets attributes; a dictionary of PyTorch has its versions there. */
  private void build() throws StateException {
    pop();
    if (!(peek() instanceof Map<?, ?>)) {
      throw error("sets attributes of what is no dictionary", "a dictionary");
    }
  }

  // Functions

  private Global global(Object module, Object name) throws StateException {
    String known = module + " " + name;
    boolean allowed = module instanceof String
        && name instanceof String
        && (FUNCTIONS.contains(known)
            || TYPES.contains(known)
            || known.equals(UNTYPED_STORAGE)
            || TorchStorage.Type.ofClass(known) != null);
    if (!allowed) {
      String shown = module instanceof String && name instanceof String ? known : "no name";
      throw error(
          "names '" + NpyHeader.printable(shown) + "'",
          "what tensors in dictionaries need, as torch.save(module.state_dict(), file) writes them");
    }
    return new Global(known);
  }

  /** What a persistent name stands for: {@code ("storage", class, key, place, elements)}. */
  private TorchStorage storage(Object name) throws StateException {
    if (name instanceof Tuple tuple
        && tuple.values().size() >= 5
        && tuple.values().get(0).equals("storage")
        && tuple.values().get(1) instanceof Global type
        && tuple.values().get(2) instanceof String key) {
      // As files before PyTorch 1.6 have it, where one storage may be a part of another.
      if (tuple.values().size() > 5 && tuple.values().get(5) != Nothing.NONE) {
        throw error("has a storage that is a view of another", "one of its own");
      }
      TorchStorage.Type known = type.name().equals(UNTYPED_STORAGE)
          ? TorchStorage.Type.BYTE
          : TorchStorage.Type.ofClass(type.name());
      if (known != null) {
        return new TorchStorage(known, key, length(tuple.values().get(4), "elements"));
      }
    }
    throw error("has a persistent name that is no storage's", "a storage's");
  }

  private Object rebuild(Object function, Object arguments) throws StateException {
    if (!(function instanceof Global global) || !(arguments instanceof Tuple tuple)) {
      throw error("calls what is no function", "a function that makes a tensor");
    }
    List<Object> parts = tuple.values();
    switch (global.name()) {
      case ORDERED_DICT -> {
        if (parts.isEmpty()) {
          return new LinkedHashMap<Object, Object>();
        }
      }
      case "torch._utils _rebuild_parameter" -> {
        if (!parts.isEmpty() && parts.get(0) instanceof TorchTensor tensor) {
          return tensor;
        }
      }
      case "torch._utils _rebuild_tensor" -> {
        if (parts.size() == 4) {
          return tensor(parts, null);
        }
      }
      case "torch._utils _rebuild_tensor_v2" -> {
        if (parts.size() == 6 || (parts.size() == 7 && isEmpty(parts.get(6)))) {
          return tensor(parts, null);
        }
      }
      case "torch._utils _rebuild_tensor_v3" -> {
        if (parts.size() >= 7 && parts.get(6) instanceof Global type && isType(type)) {
          return tensor(parts, type.name().replace(' ', '.'));
        }
      }
      default -> throw error("calls '" + global.name() + "'", "a function that makes a tensor");
    }
    throw error("calls '" + global.name() + "' with other arguments", "those of PyTorch");
  }

  private static boolean isType(Global global) {
    return TYPES.contains(global.name());
  }

  /** Whether nothing is said of a tensor but its elements: it may also be negated or conjugated. */
  private static boolean isEmpty(Object metadata) {
    return metadata == Nothing.NONE || (metadata instanceof Map<?, ?> map && map.isEmpty());
  }

  private TorchTensor tensor(List<Object> parts, @Nullable String otherType) throws StateException {
    if (!(parts.get(0) instanceof TorchStorage storage)) {
      throw error("has a tensor of no storage", "one with a storage");
    }
    return new TorchTensor(
        storage,
        otherType == null ? storage.type().toString() : otherType,
        otherType == null,
        length(parts.get(1), "offset"),
        lengths(parts.get(2), "size"),
        lengths(parts.get(3), "stride"));
  }

  private long[] lengths(Object value, String what) throws StateException {
    if (!(value instanceof Tuple tuple)) {
      throw error("has a " + what + " that is no tuple", "one of whole numbers");
    }
    if (tuple.values().size() > TorchTensor.MAX_RANK) {
      throw error(
          "has a " + what + " of " + tuple.values().size() + " numbers",
          "at most " + TorchTensor.MAX_RANK);
    }
    long[] lengths = new long[tuple.values().size()];
    for (int i = 0; i < lengths.length; i++) {
      lengths[i] = length(tuple.values().get(i), what);
    }
    return lengths;
  }

  private long length(Object value, String what) throws StateException {
    if (value instanceof BigInteger number && number.signum() >= 0 && number.bitLength() < 64) {
      return number.longValue();
    }
    String given = value instanceof BigInteger number && number.bitLength() <= 64
        ? number.toString()
        : "another value";
    throw error("has " + given + " as " + what, "a whole number, 0 or more");
  }

  private StateException error(String problem, String expected) {
    return new StateException(
        source + ": " + problem + " before byte " + position + "; expected " + expected);
  }
}
