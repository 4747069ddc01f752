/** Pictures and progress of the examples that train. */
@NullMarked
package dev.vbn.examples.picture;

import org.jspecify.annotations.NullMarked;
