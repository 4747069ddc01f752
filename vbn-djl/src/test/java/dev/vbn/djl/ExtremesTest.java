package dev.vbn.djl;

class ExtremesTest extends Extremes {}
