/** A critic with a penalty on its gradient, on any backend. */
@NullMarked
package dev.vbn.examples.wgan;

import org.jspecify.annotations.NullMarked;
