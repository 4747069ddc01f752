package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import org.jspecify.annotations.Nullable;

/**
 * The loops over elements, for the arrays of one call. Each works on a strip of neighbouring
 * elements and has parameters and sums of its own for every lane (place in the strip), all of 64
 * bits: loops without a dependence from one lane to the next, which the JIT vectorises, while a
 * plain sum over a row has to wait for each addition.
 */
abstract class Strips {

  static Strips of(HostTensor x, @Nullable HostTensor upstream, @Nullable HostTensor output) {
    return x.dtype() == DType.FLOAT32
        ? new FloatStrips(
            x.floats(),
            upstream == null ? null : upstream.floats(),
            output == null ? null : output.floats())
        : new DoubleStrips(
            x.doubles(),
            upstream == null ? null : upstream.doubles(),
            output == null ? null : output.doubles());
  }

  /** Copies input elements. */
  abstract void read(int at, int lanes, double[] into);

  /** Adds {@code d = x - shift} and {@code d*d}. */
  abstract void sum(int at, int lanes, double[] shift, double[] sum, double[] squares);

  /** Adds the upstream gradient {@code dy} and {@code dy*(x - shift)} as well. */
  abstract void sumWithUpstream(
      int at,
      int lanes,
      double[] shift,
      double[] sum,
      double[] squares,
      double[] upstreamSum,
      double[] upstreamDeviation);

  /** Output: {@code factor*(x - center) + offset}. */
  abstract void normalize(int at, int lanes, double[] center, double[] factor, double[] offset);

  /** Output: {@code factor*dy - slope*(x - center) - offset}. */
  abstract void differentiate(
      int at, int lanes, double[] center, double[] factor, double[] slope, double[] offset);

  /** Output: {@code factor*dy}, whatever the input: NaN in it must not show. */
  abstract void scaleUpstream(int at, int lanes, double[] factor);

  private static final class FloatStrips extends Strips {
    private final float[] x;
    private final float @Nullable [] upstream;
    private final float @Nullable [] output;

    FloatStrips(float[] x, float @Nullable [] upstream, float @Nullable [] output) {
      this.x = x;
      this.upstream = upstream;
      this.output = output;
    }

    @Override
    void read(int at, int lanes, double[] into) {
      for (int i = 0; i < lanes; i++) {
        into[i] = x[at + i];
      }
    }

    @Override
    void sum(int at, int lanes, double[] shift, double[] sum, double[] squares) {
      for (int i = 0; i < lanes; i++) {
        double d = x[at + i] - shift[i];
        sum[i] += d;
        squares[i] += d * d;
      }
    }

    @Override
    void sumWithUpstream(
        int at,
        int lanes,
        double[] shift,
        double[] sum,
        double[] squares,
        double[] upstreamSum,
        double[] upstreamDeviation) {
      float[] gradient = requireNonNull(upstream);
      for (int i = 0; i < lanes; i++) {
        double d = x[at + i] - shift[i];
        double dy = gradient[at + i];
        sum[i] += d;
        squares[i] += d * d;
        upstreamSum[i] += dy;
        upstreamDeviation[i] += dy * d;
      }
    }

    @Override
    void normalize(int at, int lanes, double[] center, double[] factor, double[] offset) {
      float[] out = requireNonNull(output);
      for (int i = 0; i < lanes; i++) {
        out[at + i] = (float) (factor[i] * (x[at + i] - center[i]) + offset[i]);
      }
    }

    @Override
    void differentiate(
        int at, int lanes, double[] center, double[] factor, double[] slope, double[] offset) {
      float[] gradient = requireNonNull(upstream);
      float[] out = requireNonNull(output);
      for (int i = 0; i < lanes; i++) {
        out[at + i] =
            (float) (factor[i] * gradient[at + i] - slope[i] * (x[at + i] - center[i]) - offset[i]);
      }
    }

    @Override
    void scaleUpstream(int at, int lanes, double[] factor) {
      float[] gradient = requireNonNull(upstream);
      float[] out = requireNonNull(output);
      for (int i = 0; i < lanes; i++) {
        out[at + i] = (float) (factor[i] * gradient[at + i]);
      }
    }
  }

  private static final class DoubleStrips extends Strips {
    private final double[] x;
    private final double @Nullable [] upstream;
    private final double @Nullable [] output;

    DoubleStrips(double[] x, double @Nullable [] upstream, double @Nullable [] output) {
      this.x = x;
      this.upstream = upstream;
      this.output = output;
    }

    @Override
    void read(int at, int lanes, double[] into) {
      System.arraycopy(x, at, into, 0, lanes);
    }

    @Override
    void sum(int at, int lanes, double[] shift, double[] sum, double[] squares) {
      for (int i = 0; i < lanes; i++) {
        double d = x[at + i] - shift[i];
        sum[i] += d;
        squares[i] += d * d;
      }
    }

    @Override
    void sumWithUpstream(
        int at,
        int lanes,
        double[] shift,
        double[] sum,
        double[] squares,
        double[] upstreamSum,
        double[] upstreamDeviation) {
      double[] gradient = requireNonNull(upstream);
      for (int i = 0; i < lanes; i++) {
        double d = x[at + i] - shift[i];
        double dy = gradient[at + i];
        sum[i] += d;
        squares[i] += d * d;
        upstreamSum[i] += dy;
        upstreamDeviation[i] += dy * d;
      }
    }

    @Override
    void normalize(int at, int lanes, double[] center, double[] factor, double[] offset) {
      double[] out = requireNonNull(output);
      for (int i = 0; i < lanes; i++) {
        out[at + i] = factor[i] * (x[at + i] - center[i]) + offset[i];
      }
    }

    @Override
    void differentiate(
        int at, int lanes, double[] center, double[] factor, double[] slope, double[] offset) {
      double[] gradient = requireNonNull(upstream);
      double[] out = requireNonNull(output);
      for (int i = 0; i < lanes; i++) {
        out[at + i] = factor[i] * gradient[at + i] - slope[i] * (x[at + i] - center[i]) - offset[i];
      }
    }

    @Override
    void scaleUpstream(int at, int lanes, double[] factor) {
      double[] gradient = requireNonNull(upstream);
      double[] out = requireNonNull(output);
      for (int i = 0; i < lanes; i++) {
        out[at + i] = factor[i] * gradient[at + i];
      }
    }
  }
}
