package dev.vbn.reference;

/**
 * Where elements lie that share lanes: {@code pieces} times {@code rows} strips of {@code lanes}
 * neighbouring elements. The lane at index i of every strip belongs to the same feature.
 *
 * @param at first element, from the start of the group
 * @param pieceStride from one piece to the next
 * @param stride from one strip to the next
 */
record Box(int at, int pieces, int pieceStride, int rows, int stride, int lanes) {
  /**
   * Strips whose sums are held in 32 bits: so few that their rounding stays below that of the
   * input, so many that carrying them over into 64 bits costs little.
   */
  static final int BLOCK = 64;

  /** Elements of a chunk, which one thread sums: enough for a hand-over, and 1 MiB of 32 bits. */
  private static final int CHUNK = 1 << 18;

  int strips() {
    return pieces * rows;
  }

  /** Blocks of at most {@link #BLOCK} strips. */
  int blocks() {
    return ceil(pieces, piecesOfBlock()) * ceil(rows, BLOCK);
  }

  private int piecesOfBlock() {
    return Math.max(1, BLOCK / rows);
  }

  Box block(int index) {
    if (blocks() == 1) {
      return this;
    }
    int inPiece = ceil(rows, BLOCK);
    int piece = index / inPiece * piecesOfBlock();
    int row = index % inPiece * BLOCK;
    return new Box(
        at + piece * pieceStride + row * stride,
        Math.min(piecesOfBlock(), pieces - piece),
        pieceStride,
        Math.min(BLOCK, rows - row),
        stride,
        lanes);
  }

  /** Chunks of consecutive blocks. */
  int chunks() {
    return ceil(blocks(), blocksOfChunk());
  }

  int firstBlock(int chunk) {
    return Math.min(chunk * blocksOfChunk(), blocks());
  }

  private int blocksOfChunk() {
    return Math.max(1, CHUNK / (BLOCK * lanes));
  }

  /** The first few strips, at most 8. */
  Box start() {
    return pieces == 1 && rows <= 8 ? this : new Box(at, 1, 0, Math.min(8, rows), stride, lanes);
  }

  /** Does something with one strip, which starts at an index of the array. */
  interface StripAction {
    void accept(int start, Box strip);
  }

  /** Visits the strips one by one, in a group that starts at {@code groupAt}. */
  void forEachStrip(int groupAt, StripAction action) {
    for (int piece = 0; piece < pieces; piece++) {
      for (int row = 0; row < rows; row++) {
        int from = at + piece * pieceStride + row * stride;
        action.accept(groupAt + from, new Box(from, 1, 0, 1, 0, lanes));
      }
    }
  }

  private static int ceil(int a, int b) {
    return (a + b - 1) / b;
  }
}
