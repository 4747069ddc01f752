package dev.vbn.djl;

class GraphGradientsTest extends GraphGradients {
  @Override
  int iterations() {
    return 300;
  }
}
