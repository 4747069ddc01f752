package dev.vbn.djl;

class BlockStateMxNetTest extends BlockState {}
