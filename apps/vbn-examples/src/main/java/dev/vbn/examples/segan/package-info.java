/** A speech enhancement GAN (SEGAN) in small, normalised in three ways. */
@NullMarked
package dev.vbn.examples.segan;

import org.jspecify.annotations.NullMarked;
