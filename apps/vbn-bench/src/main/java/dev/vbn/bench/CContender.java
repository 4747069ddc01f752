package dev.vbn.bench;

import dev.vbn.Variant;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The default variant in C, on one thread, into memory that is there. */
final class CContender implements Contender {
  private final boolean ordered;

  private CContender(boolean ordered) {
    this.ordered = ordered;
  }

  static CContender byFeature() {
    return new CContender(false);
  }

  static CContender inMemoryOrder() {
    return new CContender(true);
  }

  @Override
  public String name() {
    return ordered ? "C, in memory order" : "C, feature by feature";
  }

  @Override
  public Kind kind() {
    return Kind.PEER;
  }

  @Override
  public Availability probe() {
    return CLibrary.availability();
  }

  @Override
  public Optional<Prepared> prepare(Workload workload, Pass pass) {
    return workload.config().variant() == Variant.LIVE_BATCH
            && workload.mask() == null
            && workload.x().dtype() == DType.FLOAT32
        ? Optional.of(new InC(workload, pass))
        : Optional.empty();
  }

  private final class InC implements Prepared {
    private final Pass pass;
    private final long[] shape;
    private final int features;
    private final long batch;

    InC(Workload workload, Pass pass) {
      this.pass = pass;
      HostTensor x = workload.x();
      shape = x.shape();
      features = workload.gamma().size();
      Geometry geometry = Geometry.of(shape, workload.config().featureAxis());
      float[][] reference = moments(workload.reference(), workload.config().featureAxis());
      batch = CLibrary.open(
          geometry.batch() * geometry.before(),
          features,
          geometry.after(),
          1.0 / (shape[0] + 1),
          workload.config().epsilon(),
          x.floats(),
          pass == Pass.FORWARD ? null : workload.upstream().floats(),
          reference[0],
          reference[1],
          workload.gamma().floats(),
          workload.beta().floats());
      if (batch == 0) {
        throw new OutOfMemoryError("C has no memory for shape " + x);
      }
    }

    /** Mean and variance of the reference batch, which is not timed. */
    private static float[][] moments(HostTensor reference, int featureAxis) {
      Geometry geometry = Geometry.of(reference.shape(), featureAxis);
      int features = (int) geometry.features();
      int run = (int) geometry.after();
      double[] sums = new double[features];
      double[] squares = new double[features];
      for (int i = 0; i < reference.size(); i++) {
        double value = reference.get(i);
        sums[i / run % features] += value;
        squares[i / run % features] += value * value;
      }
      double count = (double) reference.size() / features;
      float[][] moments = new float[2][features];
      for (int i = 0; i < features; i++) {
        double mean = sums[i] / count;
        moments[0][i] = (float) mean;
        moments[1][i] = (float) (squares[i] / count - mean * mean);
      }
      return moments;
    }

    @Override
    public Object run() {
      if (pass != Pass.BACKWARD) {
        CLibrary.run(batch, ordered, false);
      }
      if (pass != Pass.FORWARD) {
        CLibrary.run(batch, ordered, true);
      }
      return this;
    }

    @Override
    public List<HostTensor> results() {
      List<HostTensor> results = new ArrayList<>();
      if (pass != Pass.BACKWARD) {
        CLibrary.run(batch, ordered, false);
        results.add(read().get(0));
      }
      if (pass != Pass.FORWARD) {
        CLibrary.run(batch, ordered, true);
        results.addAll(read());
      }
      return results;
    }

    private List<HostTensor> read() {
      HostTensor out = HostTensor.zeros(DType.FLOAT32, shape);
      HostTensor dgamma = HostTensor.zeros(DType.FLOAT32, features);
      HostTensor dbeta = HostTensor.zeros(DType.FLOAT32, features);
      CLibrary.read(batch, out.floats(), dgamma.floats(), dbeta.floats());
      return List.of(out, dgamma, dbeta);
    }

    @Override
    public void close() {
      CLibrary.close(batch);
    }
  }
}
