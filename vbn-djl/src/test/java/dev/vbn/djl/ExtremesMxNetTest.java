package dev.vbn.djl;

class ExtremesMxNetTest extends Extremes {}
