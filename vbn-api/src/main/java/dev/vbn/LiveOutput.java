package dev.vbn;

/**
 * What normalising a live batch yields. The tensors are the caller's to release.
 *
 * @param output the normalised batch, of the input's shape and type
 * @param statistics the mixed statistics that normalised it
 */
public record LiveOutput<T>(T output, MixedStatistics<T> statistics) {}
