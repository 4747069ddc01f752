/** Measures the backends next to a copy of the same bytes, and next to what others do. */
@NullMarked
package dev.vbn.bench;

import org.jspecify.annotations.NullMarked;
