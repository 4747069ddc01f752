package dev.vbn.reference;

import dev.vbn.DType;
import dev.vbn.Gradients;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceGradient;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The kernels in plain Java, in 64-bit arithmetic, feature by feature: the statistics of a feature
 * read it once and its output reads and writes it once. Large batches spread their features over
 * the common pool; each feature is computed by one thread in one order, so that the result does not
 * depend on their number.
 */
final class ReferenceBackend implements VbnBackend<HostTensor> {
  /** Below this many elements, handing work to other threads costs more than it saves. */
  private static final long PARALLEL_SIZE = 1 << 15;

  private volatile boolean closed;

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(Capability.FLOAT64, Capability.CALLER_SUPPLIED_OUTPUT);
  }

  @Override
  public long[] shape(HostTensor tensor) {
    requireOpen();
    return tensor.shape();
  }

  @Override
  public DType dtype(HostTensor tensor) {
    requireOpen();
    return tensor.dtype();
  }

  @Override
  public HostTensor fromHost(HostTensor host, DType dtype) {
    requireOpen();
    return switch (dtype) {
      case FLOAT32, FLOAT64 -> host.to(dtype);
      case FLOAT16 -> throw unsupported(Capability.FLOAT16);
      case BFLOAT16 -> throw unsupported(Capability.BFLOAT16);
    };
  }

  private static UnsupportedCapabilityException unsupported(Capability capability) {
    return new UnsupportedCapabilityException(
        capability, capability + " was asked for; expected FLOAT32 or FLOAT64");
  }

  @Override
  public HostTensor toHost(HostTensor tensor) {
    requireOpen();
    return tensor.to(tensor.dtype());
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry) {
    requireOpen();
    FeatureBlocks input = new FeatureBlocks(x, geometry);
    int elements = (int) geometry.elementsPerFeature();
    int features = (int) geometry.features();
    double[] mean = new double[features];
    double[] variance = new double[features];
    forEachFeature(geometry, feature -> {
      GroupSums sums = sums(input, feature, 0, elements, newBlock(elements));
      mean[feature] = sums.mean();
      variance[feature] = sums.variance();
    });
    return new Moments<>(HostTensor.of(mean, features), HostTensor.of(variance, features));
  }

  @Override
  public Normalized<HostTensor> forward(
      HostTensor x,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    requireOpen();
    Geometry geometry = how.geometry();
    HostTensor result = output != null ? output : HostTensor.zeros(x.dtype(), x.shape());
    FeatureBlocks input = new FeatureBlocks(x, geometry);
    FeatureBlocks normalized = new FeatureBlocks(result, geometry);
    int features = (int) geometry.features();
    int groups = groups(how);
    int elements = (int) geometry.elementsPerFeature() / groups;
    double[] mean = new double[groups * features];
    double[] variance = new double[groups * features];
    forEachFeature(geometry, feature -> {
      double[] block = newBlock(elements);
      double offset = beta == null ? 0 : beta.get(feature);
      for (int group = 0; group < groups; group++) {
        int first = group * elements;
        Mixture mixture = mix(input, feature, first, elements, block, how, reference);
        mean[group * features + feature] = mixture.mean();
        variance[group * features + feature] = mixture.variance();
        double center = mixture.mean();
        double factor = (gamma == null ? 1 : gamma.get(feature)) / mixture.deviation();
        for (int done = 0; done < elements; done += block.length) {
          int length = Math.min(block.length, elements - done);
          input.read(feature, first + done, block, length);
          for (int i = 0; i < length; i++) {
            block[i] = factor * (block[i] - center) + offset;
          }
          normalized.write(feature, first + done, block, length);
        }
      }
    });
    long[] shape =
        how.scope() == Scope.EXAMPLE ? new long[] {groups, features} : new long[] {features};
    return new Normalized<>(
        result, new Moments<>(HostTensor.of(mean, shape), HostTensor.of(variance, shape)));
  }

  private static Mixture mix(
      FeatureBlocks input,
      int feature,
      int first,
      int elements,
      double[] block,
      Normalization how,
      @Nullable Moments<HostTensor> reference) {
    if (how.scope() == Scope.NONE) {
      return mix(how, reference, feature, 0, 0);
    }
    GroupSums sums = sums(input, feature, first, elements, block);
    return mix(how, reference, feature, sums.mean(), sums.variance());
  }

  private static Mixture mix(
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      int feature,
      double liveMean,
      double liveVariance) {
    return reference == null
        ? Mixture.of(liveMean, liveVariance, how.epsilon())
        : Mixture.of(
            reference.mean().get(feature),
            reference.variance().get(feature),
            liveMean,
            liveVariance,
            how);
  }

  private static GroupSums sums(
      FeatureBlocks input, int feature, int first, int elements, double[] block) {
    GroupSums sums = new GroupSums();
    for (int done = 0; done < elements; done += block.length) {
      int length = Math.min(block.length, elements - done);
      input.read(feature, first + done, block, length);
      sums.add(block, length);
    }
    return sums;
  }

  @Override
  public Gradients<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    requireOpen();
    Geometry geometry = how.geometry();
    HostTensor dx = HostTensor.zeros(x.dtype(), x.shape());
    FeatureBlocks input = new FeatureBlocks(x, geometry);
    FeatureBlocks outer = new FeatureBlocks(upstream, geometry);
    FeatureBlocks inner = new FeatureBlocks(dx, geometry);
    int features = (int) geometry.features();
    int groups = groups(how);
    int elements = (int) geometry.elementsPerFeature() / groups;
    double w = how.weight();
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    double[] dMean = new double[features];
    double[] dVariance = new double[features];
    forEachFeature(geometry, feature -> {
      double[] block = newBlock(elements);
      double[] upstreamBlock = newBlock(elements);
      double scale = gamma == null ? 1 : gamma.get(feature);
      for (int group = 0; group < groups; group++) {
        int first = group * elements;
        GroupSums sums = new GroupSums();
        for (int done = 0; done < elements; done += block.length) {
          int length = Math.min(block.length, elements - done);
          input.read(feature, first + done, block, length);
          outer.read(feature, first + done, upstreamBlock, length);
          sums.add(block, upstreamBlock, length);
        }
        Mixture mixture = mix(how, reference, feature, sums.mean(), sums.variance());
        double s = mixture.deviation();
        double a = sums.upstream();
        double b = sums.upstreamAround(mixture.mean()) / s;
        double dm = -scale / s * a;
        double dv = -scale / (2 * s * s) * b;
        dbeta[feature] += a;
        dgamma[feature] += b;
        dMean[feature] += (1 - w) * dm - 2 * w * (1 - w) * mixture.difference() * dv;
        dVariance[feature] += (1 - w) * dv;

        double factor = scale / s;
        double center = mixture.mean();
        // Weight 0 leaves an element's gradient to itself: 0 * NaN is NaN.
        double constant = w == 0 ? 0 : factor * w / elements * a;
        double slope = w == 0 ? 0 : factor * w / elements * b / s;
        for (int done = 0; done < elements; done += block.length) {
          int length = Math.min(block.length, elements - done);
          outer.read(feature, first + done, upstreamBlock, length);
          if (w == 0) {
            for (int i = 0; i < length; i++) {
              block[i] = factor * upstreamBlock[i];
            }
          } else {
            input.read(feature, first + done, block, length);
            for (int i = 0; i < length; i++) {
              block[i] = factor * upstreamBlock[i] - constant - slope * (block[i] - center);
            }
          }
          inner.write(feature, first + done, block, length);
        }
      }
    });
    return new Gradients<>(
        dx,
        HostTensor.of(dgamma, features).to(x.dtype().parameterType()),
        HostTensor.of(dbeta, features).to(x.dtype().parameterType()),
        reference == null || how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : new Moments<>(HostTensor.of(dMean, features), HostTensor.of(dVariance, features)));
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    requireOpen();
    HostTensor dr = HostTensor.zeros(r.dtype(), r.shape());
    FeatureBlocks input = new FeatureBlocks(r, geometry);
    FeatureBlocks inner = new FeatureBlocks(dr, geometry);
    int chunk = (int) geometry.elementsPerFeature();
    forEachFeature(geometry, feature -> {
      double[] block = newBlock(chunk);
      double center = statistics.mean().get(feature);
      double constant = gradient.mean().get(feature) / elements;
      double slope = 2 * gradient.variance().get(feature) / elements;
      for (int done = 0; done < chunk; done += block.length) {
        int length = Math.min(block.length, chunk - done);
        input.read(feature, done, block, length);
        for (int i = 0; i < length; i++) {
          block[i] = constant + slope * (block[i] - center);
        }
        inner.write(feature, done, block, length);
      }
    });
    return dr;
  }

  private static int groups(Normalization how) {
    return how.scope() == Scope.EXAMPLE ? (int) how.geometry().batch() : 1;
  }

  private static double[] newBlock(int elements) {
    return new double[Math.min(elements, FeatureBlocks.LENGTH)];
  }

  private static void forEachFeature(Geometry geometry, IntConsumer work) {
    IntStream features = IntStream.range(0, (int) geometry.features());
    (geometry.size() < PARALLEL_SIZE ? features : features.parallel()).forEach(work);
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("reference backend used after close; expected an open one");
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
