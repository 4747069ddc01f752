package com.example.tensorflow;

import static java.util.Objects.requireNonNull;

import com.example.tensorflow.Formulas.Mixed;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.tensorflow.Operand;
import org.tensorflow.op.Ops;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TFloat64;
import org.tensorflow.types.family.TFloating;

/** Virtual batch normalization on TensorFlow's tensors: a graph for each shape, kept for the next call. */
final class TensorFlowKernels implements Kernels<TFloating> {
  private static final int KEPT = 64;

  /** What a graph is made for. */
  private record Signature(
      String kernel, Object how, List<Class<?>> types, List<List<Long>> shapes, boolean gamma) {}

  /** A graph, and the calls that it is in; what is no longer kept is closed after the last of them. */
  private static final class Kept {
    private final Program program;
    private int calls;
    private boolean dropped;

    private Kept(Program program) {
      this.program = program;
    }
  }

  /** The least recently used first. */
  private final Map<Signature, Kept> programs = new LinkedHashMap<>(16, 0.75f, true);

  @Override
  public TensorAccess<TFloating> tensors() {
    return new TensorFlowTensors();
  }

  /** Not SUBNORMALS: TensorFlow's threads take them for 0. */
  @Override
  public Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64, Capability.FLOAT64_STATISTICS, Capability.TENSORS_OUTLIVE_BACKEND);
  }

  @Override
  public Moments<TFloating> statistics(TFloating x, Geometry geometry, Scope scope) {
    List<TFloating> made =
        run("statistics", List.of(geometry, scope), false, List.of(x), (tf, inputs) -> {
          Formulas formulas = new Formulas(tf, geometry, scope);
          Operand<TFloat64> view = formulas.view(inputs.get(0));
          Operand<TFloat64> mean = formulas.mean(view);
          return moments(formulas, geometry, scope, mean, formulas.variance(view, mean));
        });
    return new Moments<>(made.get(0), made.get(1));
  }

  private static List<Operand<? extends TFloating>> moments(
      Formulas formulas,
      Geometry geometry,
      Scope scope,
      Operand<TFloat64> mean,
      Operand<TFloat64> variance) {
    long[] shape = scope == Scope.EXAMPLE
        ? new long[] {geometry.batch(), geometry.features()}
        : new long[] {geometry.features()};
    return List.of(formulas.reshaped(mean, shape), formulas.reshaped(variance, shape));
  }

  @Override
  public Normalized<TFloating> reference(
      TFloating x, Normalization how, @Nullable TFloating gamma, @Nullable TFloating beta) {
    Moments<TFloating> own = statistics(x, how.geometry(), Scope.BATCH);
    return new Normalized<>(forward(x, how, own, gamma, beta, null), own);
  }

  @Override
  public TFloating forward(
      TFloating x,
      Normalization how,
      Moments<TFloating> reference,
      @Nullable TFloating gamma,
      @Nullable TFloating beta,
      @Nullable TFloating output) { // null: CALLER_SUPPLIED_OUTPUT is not among the capabilities
    List<TFloating> given = given(x, reference.mean(), reference.variance(), gamma, beta);
    return run("forward", how, gamma != null, given, (tf, inputs) -> {
          Formulas formulas = new Formulas(tf, how.geometry(), how.scope());
          Operand<TFloat64> view = formulas.view(inputs.get(0));
          Mixed mixed = mixed(formulas, how, view, inputs);
          Operand<TFloat64> y = formulas.normalized(view, mixed);
          if (gamma != null) {
            y = tf.math.mul(formulas.perFeature(inputs.get(3)), y);
          }
          if (beta != null) {
            y = tf.math.add(y, formulas.perFeature(inputs.get(inputs.size() - 1)));
          }
          return List.of(like(tf, formulas, x, y));
        })
        .get(0);
  }

  @Override
  public Differentiated<TFloating> backward(
      TFloating x,
      TFloating upstream,
      Normalization how,
      Moments<TFloating> reference,
      @Nullable TFloating gamma,
      @Nullable TFloating dx) { // null, as in forward
    boolean attached = how.referenceGradient() == ReferenceGradient.ATTACHED;
    List<TFloating> given = given(x, reference.mean(), reference.variance(), upstream, gamma);
    List<TFloating> made = run("backward", how, gamma != null, given, (tf, inputs) -> {
      double w = how.weight();
      Formulas formulas = new Formulas(tf, how.geometry(), how.scope());
      Operand<TFloat64> view = formulas.view(inputs.get(0));
      Operand<TFloat64> dy = formulas.view(inputs.get(3));
      Mixed mixed = mixed(formulas, how, view, inputs);
      Operand<TFloat64> xh = formulas.normalized(view, mixed);
      Operand<TFloat64> a = formulas.sum(dy);
      Operand<TFloat64> b = formulas.sum(tf.math.mul(dy, xh));
      Operand<TFloat64> factor = tf.math.div(
          gamma == null ? formulas.constant(1) : formulas.perFeature(inputs.get(4)),
          mixed.deviation());
      // At weight 0 an element's gradient is its own affair: 0 * NaN is NaN.
      Operand<TFloat64> moved = w == 0
          ? dy
          : tf.math.sub(
              dy, formulas.times(w / how.elementsPerGroup(0), tf.math.add(a, tf.math.mul(xh, b))));
      List<Operand<? extends TFloating>> outputs = new ArrayList<>();
      outputs.add(like(tf, formulas, x, tf.math.mul(factor, moved)));
      outputs.add(parameter(tf, x, formulas.total(b)));
      outputs.add(parameter(tf, x, formulas.total(a)));
      if (attached) {
        Operand<TFloat64> dm = tf.math.neg(tf.math.mul(factor, a));
        Operand<TFloat64> dv =
            formulas.times(-0.5, tf.math.div(tf.math.mul(factor, b), mixed.deviation()));
        if (w == 1) {
          dm = tf.zerosLike(dm);
          dv = tf.zerosLike(dv);
        } else if (w != 0) {
          Operand<TFloat64> d = requireNonNull(mixed.difference());
          dm = tf.math.sub(
              formulas.times(1 - w, dm), formulas.times(2 * w * (1 - w), tf.math.mul(d, dv)));
          dv = formulas.times(1 - w, dv);
        }
        outputs.add(formulas.total(dm));
        outputs.add(formulas.total(dv));
      }
      return outputs;
    });
    return new Differentiated<>(
        made.get(0),
        made.get(1),
        made.get(2),
        attached ? new Moments<>(made.get(3), made.get(4)) : null);
  }

  @Override
  public TFloating referenceGradient(
      TFloating r,
      Geometry geometry,
      Moments<TFloating> statistics,
      Moments<TFloating> gradient,
      long elements) {
    List<TFloating> given = List.of(r, statistics.mean(), gradient.mean(), gradient.variance());
    return run("referenceGradient", List.of(geometry, elements), false, given, (tf, inputs) -> {
          Formulas formulas = new Formulas(tf, geometry, Scope.BATCH);
          Operand<TFloat64> deviation =
              tf.math.sub(formulas.view(inputs.get(0)), formulas.perFeature(inputs.get(1)));
          Operand<TFloat64> dmr = formulas.perFeature(inputs.get(2));
          Operand<TFloat64> dvr = formulas.times(2, formulas.perFeature(inputs.get(3)));
          Operand<TFloat64> n = formulas.constant((double) elements);
          Operand<TFloat64> dr =
              tf.math.add(tf.math.div(dmr, n), tf.math.div(tf.math.mul(deviation, dvr), n));
          return List.of(like(tf, formulas, r, dr));
        })
        .get(0);
  }

  private static Mixed mixed(
      Formulas formulas,
      Normalization how,
      Operand<TFloat64> view,
      List<Operand<TFloat64>> inputs) {
    return formulas.mix(
        how, view, formulas.perFeature(inputs.get(1)), formulas.perFeature(inputs.get(2)));
  }

  /** In the shape and the type of a batch. */
  private static Operand<? extends TFloating> like(
      Ops tf, Formulas formulas, TFloating batch, Operand<TFloat64> y) {
    return parameter(tf, batch, formulas.reshaped(y, batch.shape().asArray()));
  }

  private static Operand<? extends TFloating> parameter(
      Ops tf, TFloating batch, Operand<TFloat64> y) {
    return batch instanceof TFloat32 ? tf.dtypes.cast(y, TFloat32.class) : y;
  }

  private static List<TFloating> given(@Nullable TFloating... tensors) {
    List<TFloating> given = new ArrayList<>();
    for (TFloating tensor : tensors) {
      if (tensor != null) {
        given.add(tensor);
      }
    }
    return given;
  }

  private List<TFloating> run(
      String kernel, Object how, boolean gamma, List<TFloating> inputs, Program.Formula formula) {
    Signature signature = new Signature(
        kernel,
        how,
        inputs.stream().<Class<?>>map(TFloating::type).toList(),
        inputs.stream().map(input -> longs(input.shape().asArray())).toList(),
        gamma);
    Kept kept = take(signature, formula, inputs);
    try {
      return kept.program.run(inputs);
    } finally {
      give(kept);
    }
  }

  private static List<Long> longs(long[] values) {
    return Arrays.stream(values).boxed().toList();
  }

  private synchronized Kept take(
      Signature signature, Program.Formula formula, List<TFloating> inputs) {
    Kept kept = programs.get(signature);
    if (kept == null) {
      kept = new Kept(new Program(formula, inputs));
      programs.put(signature, kept);
      if (programs.size() > KEPT) {
        Signature oldest = programs.keySet().iterator().next();
        drop(requireNonNull(programs.remove(oldest)));
      }
    }
    kept.calls++;
    return kept;
  }

  private synchronized void give(Kept kept) {
    kept.calls--;
    if (kept.dropped && kept.calls == 0) {
      kept.program.close();
    }
  }

  private synchronized void drop(Kept kept) {
    kept.dropped = true;
    if (kept.calls == 0) {
      kept.program.close();
    }
  }

  @Override
  public synchronized void close() {
    programs.values().forEach(this::drop);
    programs.clear();
  }
}
