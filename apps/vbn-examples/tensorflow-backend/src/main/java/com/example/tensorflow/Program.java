package com.example.tensorflow;

import java.util.ArrayList;
import java.util.List;
import org.tensorflow.Graph;
import org.tensorflow.Operand;
import org.tensorflow.Result;
import org.tensorflow.Session;
import org.tensorflow.op.Ops;
import org.tensorflow.op.core.Placeholder;
import org.tensorflow.proto.ConfigProto;
import org.tensorflow.proto.GraphOptions;
import org.tensorflow.proto.OptimizerOptions;
import org.tensorflow.proto.RewriterConfig;
import org.tensorflow.types.TFloat64;
import org.tensorflow.types.family.TFloating;

/**
 * A graph for tensors of certain shapes and types, ready to run. Eager operations would need none,
 * but what they yield is freed only with their session.
 */
final class Program implements AutoCloseable {
  /**
   * One thread: what is summed by several depends on how many there are. And the formula as it is
   * written: the optimizer may rewrite it, and takes longer over a graph than most of them run.
   */
  private static final ConfigProto AS_WRITTEN = ConfigProto.newBuilder()
      .setIntraOpParallelismThreads(1)
      .setInterOpParallelismThreads(1)
      .setGraphOptions(GraphOptions.newBuilder()
          .setOptimizerOptions(OptimizerOptions.newBuilder().setOptLevel(OptimizerOptions.Level.L0))
          .setRewriteOptions(RewriterConfig.newBuilder().setDisableMetaOptimizer(true)))
      .build();

  /** Writes down what to compute of inputs, in 64 bits. */
  interface Formula {
    List<Operand<? extends TFloating>> of(Ops tf, List<Operand<TFloat64>> inputs);
  }

  private final Graph graph = new Graph();
  private final Session session = new Session(graph, AS_WRITTEN);
  private final List<Placeholder<? extends TFloating>> placeholders = new ArrayList<>();
  private final List<Operand<? extends TFloating>> outputs;

  /** For inputs like these. */
  Program(Formula formula, List<TFloating> inputs) {
    Ops tf = Ops.create(graph);
    List<Operand<TFloat64>> wide = new ArrayList<>();
    for (TFloating input : inputs) {
      Placeholder<? extends TFloating> placeholder =
          tf.placeholder(type(input), Placeholder.shape(input.shape()));
      placeholders.add(placeholder);
      wide.add(tf.dtypes.cast(placeholder, TFloat64.class));
    }
    outputs = formula.of(tf, wide);
  }

  /** As the library's own generic parameters want it: the interface, not the class behind it. */
  @SuppressWarnings("unchecked")
  private static Class<TFloating> type(TFloating tensor) {
    return (Class<TFloating>) tensor.type();
  }

  /** The outputs, each a new tensor of the caller's. */
  List<TFloating> run(List<TFloating> inputs) {
    Session.Runner runner = session.runner();
    for (int i = 0; i < placeholders.size(); i++) {
      runner.feed(placeholders.get(i), inputs.get(i));
    }
    outputs.forEach(runner::fetch);
    Result result = runner.run(); // closing it would close its tensors
    List<TFloating> tensors = new ArrayList<>();
    for (int i = 0; i < outputs.size(); i++) {
      tensors.add((TFloating) result.get(i));
    }
    return tensors;
  }

  /** Waits for those that still run. */
  @Override
  public void close() {
    session.close();
    graph.close();
  }
}
