package dev.vbn.conformance;

import java.lang.ref.SoftReference;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/**
 * Cases that several checks look at, by name. They are kept while there is memory for them, and what
 * must come of them as long: the kit runs in a small heap, where it makes them again.
 */
final class Cases<K> {
  private final Map<K, SoftReference<Case>> made = new ConcurrentHashMap<>();

  /** The case of this name; {@code make} must give the same one each time. */
  Case get(K name, Supplier<Case> make) {
    SoftReference<Case> kept = made.get(name);
    Case c = kept == null ? null : kept.get();
    if (c == null) {
      c = make.get();
      made.put(name, new SoftReference<>(c));
    }
    return c;
  }
}
