/**
 * The backend {@code process}: a program that computes what it reads on its standard input.
 * docs/PROCESS.md has the protocol.
 *
 * @since 0.1
 */
@NullMarked
package dev.vbn.process;

import org.jspecify.annotations.NullMarked;
