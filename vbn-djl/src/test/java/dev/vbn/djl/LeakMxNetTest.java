package dev.vbn.djl;

class LeakMxNetTest extends Leak {}
