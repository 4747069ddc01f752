package dev.vbn.djl;

class LeakTest extends Leak {}
