package dev.vbn.djl;

/** On PyTorch. */
class DjlPyTorchConformanceTest extends DjlConformance {}
