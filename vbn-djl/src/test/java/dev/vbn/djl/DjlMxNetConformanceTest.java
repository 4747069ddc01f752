package dev.vbn.djl;

/** On MXNet. */
class DjlMxNetConformanceTest extends DjlConformance {}
