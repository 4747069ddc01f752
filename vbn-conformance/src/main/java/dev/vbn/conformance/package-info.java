/**
 * The conformance kit: extend {@link dev.vbn.conformance.VbnConformance} in a test of your backend,
 * and every rule of virtual batch normalization is checked against it.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.conformance;

import org.jspecify.annotations.NullMarked;
