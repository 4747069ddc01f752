package dev.vbn.djl;

import ai.djl.ndarray.NDList;
import ai.djl.training.Trainer;
import ai.djl.training.listener.TrainingListener.BatchData;
import ai.djl.training.listener.TrainingListenerAdapter;
import dev.vbn.spi.ReferenceGradient;

/**
 * Refreshes the reference of every {@link VirtualBatchNormBlock} of a network while {@code EasyTrain}
 * trains it: after a given number of batches, and after each epoch.
 *
 * <p>{@code EasyTrain} reports a batch once its gradients are there but before the optimiser's
 * step: the refreshed statistics are one step behind. It reports nothing before the first batch:
 * call {@link VirtualBatchNormBlock#refresh} once before training.
 */
public final class RefreshListener extends TrainingListenerAdapter {
  private final NDList reference;
  private final int every;
  private int batches;

  /**
   * A listener for {@code TrainingConfig.addTrainingListeners}.
   *
   * @param reference the reference batch, as inputs of the network; stays the caller's, open
   * @param every batches from one refresh to the next, at least 1
   * @throws IllegalArgumentException if {@code every} is below 1
   */
  public RefreshListener(NDList reference, int every) {
    if (every < 1) {
      throw new IllegalArgumentException("every is " + every + "; expected 1 or more batches");
    }
    this.reference = reference;
    this.every = every;
  }

  /**
   * Refreshes if it is time.
   *
   * @throws IllegalStateException if a block is {@link ReferenceGradient#ATTACHED}: its reference
   *     pass has to be inside the gradient collector
   */
  @Override
  public void onTrainingBatch(Trainer trainer, BatchData batchData) {
    batches++;
    if (batches % every == 0) {
      refresh(trainer);
    }
  }

  /** Refreshes. */
  @Override
  public void onEpoch(Trainer trainer) {
    refresh(trainer);
  }

  private void refresh(Trainer trainer) {
    VirtualBatchNormBlock.blocksOf(trainer.getModel().getBlock()).forEach((name, block) -> {
      if (block.config().referenceGradient() == ReferenceGradient.ATTACHED) {
        throw new IllegalStateException(name + " has an ATTACHED reference gradient; expected"
            + " DETACHED, or a refresh of your own inside the gradient collector");
      }
    });
    VirtualBatchNormBlock.refresh(trainer.getModel().getBlock(), trainer::forward, reference);
  }
}
