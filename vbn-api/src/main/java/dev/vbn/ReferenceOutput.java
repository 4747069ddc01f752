package dev.vbn;

/**
 * What the reference pass yields. Output and statistics are the caller's to release.
 *
 * @param output the reference batch normalised by its own statistics, of its shape and type
 * @param statistics the statistics of the reference batch
 */
public record ReferenceOutput<T>(T output, ReferenceStatistics<T> statistics) {}
