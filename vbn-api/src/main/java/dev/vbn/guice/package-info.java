/**
 * Guice bindings for the backends found on the class path. Guice is an optional dependency.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.guice;

import org.jspecify.annotations.NullMarked;
