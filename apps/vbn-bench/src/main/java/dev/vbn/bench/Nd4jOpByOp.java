package dev.vbn.bench;

import dev.vbn.Variant;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.ops.transforms.Transforms;

/**
 * The same form as {@link LibtorchOpByOp} in operations of ND4J, and its gradients in the fewest
 * passes that such operations allow: a graph would make more. Every intermediate array is closed at
 * once. Squares are a {@code pow(x, 2)}, as the form has them; ND4J takes longer for one than for
 * {@code x.mul(x)}, with which the whole is up to twice as fast.
 */
final class Nd4jOpByOp implements Contender {
  static final String NAME = "nd4j, op by op";

  private static final int POSITIONS = 2;
  private static final int EXAMPLES = 0;

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Kind kind() {
    return Kind.PEER;
  }

  @Override
  public Availability probe() {
    try {
      return Availability.available("ND4J " + Nd4j.getBackend().getClass().getSimpleName());
    } catch (RuntimeException | LinkageError e) {
      return Availability.unavailable("ND4J cannot be used here: " + e, e);
    }
  }

  @Override
  public Optional<Prepared> prepare(Workload workload, Pass pass) {
    return workload.config().variant() == Variant.LIVE_BATCH
            && workload.mask() == null
            && workload.x().dtype() == DType.FLOAT32
        ? Optional.of(new Formula(workload, pass))
        : Optional.empty();
  }

  /** A batch as {@code [rows, features, after]}. */
  private static INDArray copyOf(HostTensor batch, int featureAxis) {
    Geometry geometry = Geometry.of(batch.shape(), featureAxis);
    long rows = geometry.batch() * geometry.before();
    return Nd4j.create(batch.floats(), rows, geometry.features(), geometry.after());
  }

  private static INDArray perFeature(HostTensor parameter) {
    return Nd4j.create(parameter.floats(), 1, parameter.size(), 1);
  }

  private static final class Formula implements Prepared {
    private final Pass pass;
    private final INDArray x;
    private final INDArray upstream;
    private final INDArray gamma;
    private final INDArray beta;
    private final INDArray referenceMean;
    private final INDArray referenceMeanSquare;
    private final double weight;
    private final double epsilon;

    Formula(Workload workload, Pass pass) {
      this.pass = pass;
      int axis = workload.config().featureAxis();
      x = copyOf(workload.x(), axis);
      upstream = pass == Pass.FORWARD ? x : copyOf(workload.upstream(), axis);
      gamma = perFeature(workload.gamma());
      beta = perFeature(workload.beta());
      try (INDArray reference = copyOf(workload.reference(), axis)) {
        referenceMean = mean(reference);
        referenceMeanSquare = meanSquare(reference);
      }
      weight = 1.0 / (workload.x().shape()[0] + 1.0);
      epsilon = workload.config().epsilon();
    }

    private static INDArray mean(INDArray x) {
      try (INDArray perExample = x.mean(true, POSITIONS)) {
        return perExample.mean(true, EXAMPLES);
      }
    }

    private static INDArray meanSquare(INDArray x) {
      try (INDArray squares = Transforms.pow(x, 2)) {
        return mean(squares);
      }
    }

    private static INDArray sum(INDArray x) {
      try (INDArray perExample = x.sum(true, POSITIONS)) {
        return perExample.sum(true, EXAMPLES);
      }
    }

    private INDArray mixed(INDArray live, INDArray reference) {
      try (INDArray ours = live.mul(weight);
          INDArray theirs = reference.mul(1 - weight)) {
        return ours.add(theirs);
      }
    }

    /** What the backward pass needs of the forward pass. */
    private record Normalized(INDArray normalized, INDArray deviation) implements AutoCloseable {
      @Override
      public void close() {
        normalized.close();
        deviation.close();
      }
    }

    private Normalized normalized() {
      try (INDArray liveMean = mean(x);
          INDArray liveMeanSquare = meanSquare(x);
          INDArray mean = mixed(liveMean, referenceMean);
          INDArray meanSquare = mixed(liveMeanSquare, referenceMeanSquare);
          INDArray squareOfMean = mean.mul(mean);
          INDArray variance = meanSquare.sub(squareOfMean);
          INDArray stable = variance.add(epsilon);
          INDArray centered = x.sub(mean)) {
        INDArray deviation = Transforms.sqrt(stable);
        return new Normalized(centered.div(deviation), deviation);
      }
    }

    private INDArray output(Normalized of) {
      try (INDArray scaled = of.normalized.mul(gamma)) {
        return scaled.add(beta);
      }
    }

    /** The gradients that {@link Pass#BACKWARD} names. */
    private List<INDArray> gradients(Normalized of) {
      INDArray dbeta = sum(upstream);
      try (INDArray products = upstream.mul(of.normalized)) {
        INDArray dgamma = sum(products);
        double share = weight * x.size(1) / x.length();
        try (INDArray along = of.normalized.mul(dgamma);
            INDArray through = along.add(dbeta);
            INDArray shared = through.mul(share);
            INDArray left = upstream.sub(shared);
            INDArray slope = gamma.div(of.deviation)) {
          return List.of(left.mul(slope), dgamma, dbeta);
        }
      }
    }

    private List<INDArray> compute() {
      try (Normalized of = normalized()) {
        List<INDArray> results = new ArrayList<>();
        if (pass != Pass.BACKWARD) {
          results.add(output(of));
        }
        if (pass != Pass.FORWARD) {
          results.addAll(gradients(of));
        }
        return results;
      }
    }

    @Override
    public Object run() {
      List<INDArray> results = compute();
      results.forEach(INDArray::close);
      return results;
    }

    @Override
    public List<HostTensor> results() {
      List<HostTensor> results = new ArrayList<>();
      for (INDArray array : compute()) {
        results.add(HostTensor.of(array.data().asFloat(), array.shape()));
        array.close();
      }
      return results;
    }

    @Override
    @SuppressWarnings("ReferenceEquality") // the very array is meant
    public void close() {
      if (upstream != x) {
        upstream.close();
      }
      for (INDArray array : List.of(x, gamma, beta, referenceMean, referenceMeanSquare)) {
        array.close();
      }
    }
  }
}
