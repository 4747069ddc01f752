package dev.vbn.conformance.offender;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;
import org.jspecify.annotations.Nullable;

/** Keeps the deviations beside the statistics that it computed, and has none for others'. */
final class OwnStatisticsOnly extends PlainBackend {
  private final Map<Strided, Boolean> own = Collections.synchronizedMap(new WeakHashMap<>());

  @Override
  public Moments<Strided> statistics(Strided x, Geometry geometry) {
    Moments<Strided> moments = super.statistics(x, geometry);
    own.put(moments.variance(), true);
    return moments;
  }

  @Override
  public Normalized<Strided> forward(
      Strided x,
      Normalization how,
      @Nullable Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided beta,
      @Nullable Strided output) {
    Moments<Strided> known = reference;
    if (reference != null && !own.containsKey(reference.variance())) {
      known = new Moments<>(
          reference.mean(),
          Strided.zeros(reference.variance().dtype(), reference.variance().shape()));
    }
    Normalized<Strided> result = super.forward(x, how, known, gamma, beta, output);
    if (reference == null) {
      own.put(result.moments().variance(), true);
    }
    return result;
  }
}
