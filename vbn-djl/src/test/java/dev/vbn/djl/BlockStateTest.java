package dev.vbn.djl;

class BlockStateTest extends BlockState {}
