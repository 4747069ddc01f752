/** Measures the backends beside a copy of the same bytes, and beside what others do. */
@NullMarked
package dev.vbn.bench;

import org.jspecify.annotations.NullMarked;
