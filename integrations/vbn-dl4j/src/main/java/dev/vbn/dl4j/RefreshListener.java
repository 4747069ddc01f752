package dev.vbn.dl4j;

import java.util.function.Consumer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.DataSet;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;

/**
 * {@linkplain VirtualBatchNormalization#refresh Refreshes} the reference of a network while it is
 * trained: after a given number of steps, at the end of each epoch, and at the beginning of an
 * epoch where a layer has none yet.
 *
 * <p>DL4J reports epochs only where an iterator is fitted: before {@code fit(dataSet)} call
 * {@code refresh} once. It reports a step once the parameters are updated, and before constraints
 * on them are applied.
 */
public final class RefreshListener extends BaseTrainingListener {
  private final Consumer<Model> refresh;
  private final int every;
  private int steps;

  private RefreshListener(Consumer<Model> refresh, int every) {
    if (every < 1) {
      throw new IllegalArgumentException("every is " + every + "; expected 1 or more steps");
    }
    this.refresh = refresh;
    this.every = every;
  }

  /**
   * A listener for {@code network.setListeners}.
   *
   * @param reference the reference batch, which stays as it is
   * @param every steps from one refresh to the next, at least 1
   * @throws IllegalArgumentException if {@code every} is below 1
   */
  public RefreshListener(INDArray reference, int every) {
    this(network -> VirtualBatchNormalization.refresh(network, reference), every);
  }

  /** The same with the features of a data set, and their mask. */
  public RefreshListener(DataSet reference, int every) {
    this(network -> VirtualBatchNormalization.refresh(network, reference), every);
  }

  /** The same with the features of a data set for several inputs, and their masks. */
  public RefreshListener(MultiDataSet reference, int every) {
    this(network -> VirtualBatchNormalization.refresh(network, reference), every);
  }

  /** The same with all that an iterator has; it must not be the one that is fitted. */
  public RefreshListener(DataSetIterator reference, int every) {
    this(network -> VirtualBatchNormalization.refresh(network, reference), every);
  }

  /** The same for a network of several inputs. */
  public RefreshListener(MultiDataSetIterator reference, int every) {
    this(network -> VirtualBatchNormalization.refresh(network, reference), every);
  }

  /** Refreshes if a layer has no reference. */
  @Override
  public void onEpochStart(Model network) {
    if (!VirtualBatchNormLayer.layersOf(network).values().stream()
        .allMatch(VirtualBatchNormLayer::hasReference)) {
      refresh.accept(network);
    }
  }

  /** Refreshes if it is time. */
  @Override
  public void iterationDone(Model network, int iteration, int epoch) {
    steps++;
    if (steps % every == 0) {
      refresh.accept(network);
    }
  }

  /** Refreshes if a step was made since. */
  @Override
  public void onEpochEnd(Model network) {
    if (steps % every != 0) {
      refresh.accept(network);
    }
  }
}
