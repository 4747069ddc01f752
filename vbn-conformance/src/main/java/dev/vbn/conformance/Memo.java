package dev.vbn.conformance;

import java.lang.ref.SoftReference;
import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/**
 * What several checks look at. It is kept while there is memory for it: in a small heap, the kit
 * makes it again.
 */
final class Memo<K, V> {
  private final Map<K, SoftReference<V>> kept;

  private Memo(Map<K, SoftReference<V>> kept) {
    this.kept = kept;
  }

  static <K, V> Memo<K, V> byName() {
    return new Memo<>(new ConcurrentHashMap<>());
  }

  /** By cases, which it leaves to the garbage collector. */
  static <V> Memo<Case, V> byCase() {
    return new Memo<>(Collections.synchronizedMap(new WeakHashMap<>()));
  }

  /** What is kept under this key; {@code make} must give the same each time. */
  V get(K key, Supplier<V> make) {
    SoftReference<V> reference = kept.get(key);
    V value = reference == null ? null : reference.get();
    if (value == null) {
      value = make.get();
      kept.put(key, new SoftReference<>(value));
    }
    return value;
  }
}
