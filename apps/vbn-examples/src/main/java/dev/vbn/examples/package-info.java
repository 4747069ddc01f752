/** Small programs that show the API; the README quotes them. */
@NullMarked
package dev.vbn.examples;

import org.jspecify.annotations.NullMarked;
