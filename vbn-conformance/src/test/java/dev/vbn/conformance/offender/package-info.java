/**
 * Proof that the kit cannot be fooled: for each rule providers that break it, and must fail at it.
 */
@NullMarked
package dev.vbn.conformance.offender;

import org.jspecify.annotations.NullMarked;
