/** Guice bindings for the backends found on the class path. Guice is an optional dependency. */
@NullMarked
package dev.vbn.guice;

import org.jspecify.annotations.NullMarked;
