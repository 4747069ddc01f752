package dev.vbn.bench;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.cli.BackendOption;
import java.util.ArrayList;
import java.util.List;

/** All that are compared. A new peer is one class and one line here. */
final class Contenders {
  private Contenders() {}

  /**
   * The contenders, those that cannot be used here too.
   *
   * @param backends names; empty for every backend on the class path
   * @param threads that the copy may use
   */
  static List<Contender> of(List<String> backends, int threads) {
    List<Contender> contenders = new ArrayList<>();
    contenders.add(CopyContender.of(threads));
    contenders.add(CopyContender.intoNewArray());
    VbnBackends found = BackendOption.find();
    List<BackendCandidate> chosen = backends.isEmpty()
        ? found.list()
        : backends.stream().map(name -> BackendOption.named(found, name)).toList();
    for (BackendCandidate candidate : chosen) {
      contenders.add(BackendContender.of(candidate));
      contenders.add(BackendContender.withOutputGiven(candidate));
      if (GraphContender.fits(candidate)) {
        contenders.add(new GraphContender(candidate));
      }
    }
    contenders.add(new LibtorchBatchNorm());
    contenders.add(new LibtorchOpByOp());
    contenders.add(new Nd4jOpByOp());
    contenders.add(PytorchContender.compiled(threads));
    contenders.add(PytorchContender.batchNorm(threads));
    if (threads == 1) {
      contenders.add(CContender.byFeature());
      contenders.add(CContender.inMemoryOrder());
    }
    return contenders;
  }
}
