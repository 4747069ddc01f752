/** The kit's verdict on mutants. */
@NullMarked
package dev.vbn.mutation;

import org.jspecify.annotations.NullMarked;
