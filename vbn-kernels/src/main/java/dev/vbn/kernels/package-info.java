/**
 * Virtual batch normalization of numbers in this process's memory, in two sweeps: one that sums,
 * and one that writes, backwards.
 *
 * <pre>
 *   a group:    rows x features x positions, in the order of the memory
 *
 *               f0 p p p p | f1 p p p p | f2 p p p p     a row: of each feature a run of neighbours
 *               f0 p p p p | f1 p p p p | f2 p p p p     a tile: the features that are summed together
 *               f0 p p p p | f1 p p p p | f2 p p p p     a strip: the row of a tile of short runs
 *
 *   long runs:  row by row, run by run; few vectors of sums for each feature (scalar: a feature at a
 *               time, in lanes)
 *   short runs: strip by strip; a sum for each lane, a place in the strip
 * </pre>
 *
 * <p>A batch has one group, or one for each example. Sums are taken around a shift for each feature,
 * an estimate of its mean, in the type of the elements, and carried over into 64 bits every few
 * additions. What they cannot tell (a shift that was far from the mean, squares that overflowed) is
 * summed again in 64 bits; groups of few elements are summed so from the start. Between the sweeps
 * each feature's sums become a line that its output lies on.
 *
 * <p>In a masked batch, long spans that count are processed where they lie, {@code Counts}. Rows of
 * short ones are processed whole where most of the row counts, with the shift in place of what does
 * not; else what counts is copied together first, {@code Packed}.
 *
 * <p>The scalar loops are written once, over 32 bits; the build writes those over 64 bits from them.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.kernels;

import org.jspecify.annotations.NullMarked;
