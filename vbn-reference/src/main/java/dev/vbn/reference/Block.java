package dev.vbn.reference;

/**
 * Where some elements of a batch lie: {@code rows} strips of {@code length} neighbours.
 *
 * @param at index of the first element
 * @param stride from one strip to the next
 */
record Block(int at, int rows, int stride, int length) {

  Block moved(int by) {
    return new Block(at + by, rows, stride, length);
  }

  int elements() {
    return rows * length;
  }
}
