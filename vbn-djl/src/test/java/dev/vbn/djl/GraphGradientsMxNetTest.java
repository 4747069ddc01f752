package dev.vbn.djl;

class GraphGradientsMxNetTest extends GraphGradients {
  @Override
  int iterations() {
    return 50;
  }
}
