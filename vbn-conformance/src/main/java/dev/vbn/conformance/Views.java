package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;

import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/** Tensors in other layouts, as the provider's test makes them, for some arguments of a call. */
final class Views<T> extends Tensors<T> {
  private static final List<Argument> ARGUMENTS = List.of(Argument.values());

  private final VbnConformance kit;
  private final Subject<T> subject;
  private final Set<Argument> viewed;
  private final int number;
  private final List<T> given = new ArrayList<>();
  private final Set<T> released = Collections.newSetFromMap(new IdentityHashMap<>());

  Views(VbnConformance kit, Subject<T> subject) {
    this(kit, subject, Set.of(), 0);
  }

  /**
   * Makes {@code viewed} views: of those that the test gives, from that number on, another for each.
   */
  Views(VbnConformance kit, Subject<T> subject, Set<Argument> viewed, int number) {
    super(subject.backend);
    this.kit = kit;
    this.subject = subject;
    this.viewed = viewed;
    this.number = number;
  }

  /** A vector may have fewer views than a batch, and some have none. */
  @Override
  T as(Argument argument, HostTensor host, DType dtype) {
    List<T> views = viewed.contains(argument) ? viewsOf(host.to(dtype), dtype) : List.of();
    return views.isEmpty()
        ? of(host, dtype)
        : views.get((number + ARGUMENTS.indexOf(argument)) % views.size());
  }

  /** All views of these elements. */
  List<T> viewsOf(HostTensor host, DType dtype) {
    List<T> views = cast(kit.views(subject.backend, host, dtype));
    for (int i = 0; i < views.size(); i++) {
      assertSameBits("view " + i, host, subject.host(views.get(i)), "toHost reads strides.");
    }
    return views;
  }

  /** All but the last along an axis, and all but the first; none if the test gives none. */
  List<T> parts(HostTensor host, DType dtype, int axis) {
    return cast(kit.parts(subject.backend, host, dtype, axis));
  }

  private List<T> cast(List<?> objects) {
    List<T> tensors = new ArrayList<>();
    for (Object object : objects) {
      @SuppressWarnings("unchecked") // and the class is checked
      T tensor = (T) subject.backend.tensorType().rawClass().cast(object);
      tensors.add(tensor);
    }
    given.addAll(tensors);
    return tensors;
  }

  /** Releases one of those given before the others. */
  void release(T view) {
    released.add(view);
    subject.access().release(view);
  }

  /** By the backend's own access: the handle counts only those that it has made. */
  @Override
  public void close() {
    super.close();
    TensorAccess<T> access = subject.access();
    given.stream().filter(view -> !released.contains(view)).forEach(access::release);
  }
}
