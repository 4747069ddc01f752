/** A generative adversarial network that learns to write digits, normalised in three ways. */
@NullMarked
package dev.vbn.examples.gan;

import org.jspecify.annotations.NullMarked;
