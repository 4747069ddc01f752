package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;

import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Tensors in other layouts, as the provider's test makes them, for one argument of a call. */
final class Views<T> extends Tensors<T> {
  private final VbnConformance kit;
  private final Subject<T> subject;
  private final @Nullable Argument viewed;
  private final int number;
  private final List<T> given = new ArrayList<>();

  Views(VbnConformance kit, Subject<T> subject) {
    this(kit, subject, null, 0);
  }

  /** Makes {@code viewed} a view: of those that the test gives, the one of that number. */
  Views(VbnConformance kit, Subject<T> subject, @Nullable Argument viewed, int number) {
    super(subject.backend);
    this.kit = kit;
    this.subject = subject;
    this.viewed = viewed;
    this.number = number;
  }

  /** A vector may have fewer views than a batch, and some have none. */
  @Override
  T as(Argument argument, HostTensor host, DType dtype) {
    List<T> views = argument == viewed ? viewsOf(host.to(dtype), dtype) : List.of();
    return views.isEmpty() ? of(host, dtype) : views.get(number % views.size());
  }

  /** All views of these elements. */
  List<T> viewsOf(HostTensor host, DType dtype) {
    List<T> views = cast(kit.views(subject.backend, host, dtype));
    for (int i = 0; i < views.size(); i++) {
      assertSameBits("view " + i, host, subject.host(views.get(i)), "toHost reads strides.");
    }
    return views;
  }

  /** All examples but the last, and all but the first; none if the test gives none. */
  List<T> slices(HostTensor host, DType dtype) {
    return cast(kit.overlapping(subject.backend, host, dtype));
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

  /** By the backend's own access: the handle counts only those that it has made. */
  @Override
  public void close() {
    super.close();
    TensorAccess<T> access = subject.access();
    given.forEach(access::release);
  }
}
