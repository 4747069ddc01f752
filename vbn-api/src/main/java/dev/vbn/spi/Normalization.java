package dev.vbn.spi;

/**
 * One member of the family of normalisations, on one shape. With the reference statistics
 * {@code mr, vr}, the live statistics {@code ma, va} over the scope and the weight {@code w}, per
 * feature (and, in {@link Scope#EXAMPLE}, per example):
 *
 * <pre>
 *   d = ma - mr        m = mr + w*d        v = (1-w)*vr + w*va + w*(1-w)*d*d
 *   s = sqrt(v + epsilon)        xh = (x - m)/s        y = gamma*xh + beta
 * </pre>
 *
 * <p>The reference pass is weight 1 and {@link Scope#BATCH}: {@code m = ma, v = va}. Compute
 * {@code x - m} first, then scale it, then add beta: {@code a*x + b} loses beta where the mean is
 * large.
 *
 * <p>What a mask leaves out is in no mean, variance, sum or count. There {@code y} and {@code dx}
 * are 0, whatever the batch holds, NaN included.
 *
 * <p>A variance too large for its type is infinite, not NaN, as long as the mean is finite: then
 * {@code xh} is 0, and {@code y} is beta, wherever {@code x - m} is finite.
 *
 * @param geometry view of the live batch
 * @param scope what the live statistics are taken over
 * @param weight of the live statistics, 0 to 1; 0 if and only if the scope is {@link Scope#NONE},
 *     except for {@link Kernels#sums}
 * @param epsilon added to the variance inside the root, above 0
 * @param referenceGradient whether gradients reach the reference statistics; where detached, they
 *     are constants to automatic differentiation too
 */
public record Normalization(
    Geometry geometry,
    Scope scope,
    double weight,
    double epsilon,
    ReferenceGradient referenceGradient) {

  /** The statistics of one feature that is normalised by its own or by the reference's alone. */
  public Mixture alone(double mean, double variance) {
    return new Mixture(0, mean, variance, Math.sqrt(variance + epsilon));
  }

  /**
   * The mixed statistics of one group. With weight 0 the live statistics have no effect, and with
   * weight 1 those of the reference have none, NaN included.
   */
  public Mixture mix(double mr, double vr, double ma, double va) {
    if (weight == 0) {
      return alone(mr, vr);
    }
    if (weight == 1) {
      return alone(ma, va);
    }
    double d = ma - mr;
    double v = (1 - weight) * vr + weight * va + weight * (1 - weight) * d * d;
    return new Mixture(d, mr + weight * d, v, Math.sqrt(v + epsilon));
  }

  /**
   * The gradients of one group of n elements, from {@code A = sum(dy)} and {@code B = sum(dy*xh)}:
   *
   * <pre>
   *   dx = gamma/s * (dy - w/n*(A + xh*B))
   *   dm = -gamma/s * A        dv = -gamma/(2*s*s) * B
   *   dmr = (1-w)*dm - 2*w*(1-w)*d*dv        dvr = (1-w)*dv
   * </pre>
   *
   * <p>The gradients of gamma and beta are the sums of B and A over the groups.
   *
   * @param gamma of the feature; 1 where there is none
   * @param elements n, as {@link #elementsPerGroup} says
   * @param a A
   * @param b B
   */
  public Slopes slopes(Mixture mixture, double gamma, long elements, double a, double b) {
    double s = mixture.deviation();
    double factor = gamma / s;
    double dm = -factor * a;
    double dv = -factor / (2 * s) * b;
    if (weight == 0) { // 0 * NaN is NaN, and sums without weight must have no effect
      return new Slopes(factor, 0, 0, dm, dv);
    }
    double share = -factor * weight / elements;
    if (weight == 1) {
      return new Slopes(factor, share * b / s, share * a, 0, 0);
    }
    double dmr = (1 - weight) * dm - 2 * weight * (1 - weight) * mixture.difference() * dv;
    return new Slopes(factor, share * b / s, share * a, dmr, (1 - weight) * dv);
  }

  /**
   * The second gradients of one group: those of {@code L = sum(dx*v) + vgamma*B + vbeta*A}, with dx
   * as {@link #slopes} gives it and the reference statistics as constants. With
   * {@code k = gamma/s*w/n} and the {@link SecondSums}
   *
   * <pre>
   *   L = gamma/s*Q + vgamma*B + vbeta*A        Q = D - w/n*(A*V + B*W)
   * </pre>
   *
   * <p>L depends on dy, on gamma, on xh and on s. Taken separately, its derivatives are
   *
   * <pre>
   *   by dy:     gamma/s*v - k*(V + xh*W) + vgamma*xh + vbeta
   *   by gamma:  Q/s
   *   by xh:     c = (vgamma - k*W)*dy - k*B*v
   *   by s:      -gamma/(s*s)*Q
   * </pre>
   *
   * <p>and m and s move with x by {@code dm/dx = w/n} and {@code ds/dx = w/n*xh}, so that
   *
   * <pre>
   *   by x:      1/s*(c - w/n*(sum(c) + xh*(sum(c*xh) + gamma/s*Q)))
   *   sum(c) = vgamma*A - k*(A*W + B*V)        sum(c*xh) = vgamma*B - 2*k*B*W
   * </pre>
   *
   * @param gamma of the feature; 1 where there is none
   * @param elements n, as {@link #elementsPerGroup} says
   * @param vgamma upstream gradient of dgamma; 0 where there is none
   * @param vbeta upstream gradient of dbeta; 0 where there is none
   */
  public SecondSlopes secondSlopes(
      Mixture mixture, double gamma, long elements, SecondSums sums, double vgamma, double vbeta) {
    double s = mixture.deviation();
    double factor = gamma / s;
    if (weight == 0) { // as in slopes
      return new SecondSlopes(vgamma / s, 0, 0, 0, factor, vbeta, sums.product() / s);
    }
    double share = weight / elements;
    double k = factor * share;
    double a = sums.upstream();
    double b = sums.upstreamInput();
    double v = sums.second();
    double w = sums.secondInput();
    double q = sums.product() - share * (a * v + b * w);
    double cross = vgamma - k * w;
    double sum = vgamma * a - k * (a * w + b * v);
    double sumWithInput = vgamma * b - 2 * k * b * w + factor * q;
    return new SecondSlopes(
        cross / s,
        -k * b / s,
        -share * sumWithInput / s / s,
        -share * sum / s,
        factor,
        vbeta - k * v,
        q / s);
  }

  /** Groups of a feature: the examples in {@link Scope#EXAMPLE}, else one. */
  public long groups() {
    return scope == Scope.EXAMPLE ? geometry.batch() : 1;
  }

  /**
   * n, the elements that share one mixture; 0 for an example that is not part of the batch and so
   * has none.
   *
   * @param group the example in {@link Scope#EXAMPLE}, else 0
   */
  public long elementsPerGroup(long group) {
    return scope == Scope.EXAMPLE ? geometry.countedElements(group) : geometry.countedElements();
  }
}
