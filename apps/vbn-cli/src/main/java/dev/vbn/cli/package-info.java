/** The command-line tool {@code vbn}: {@link dev.vbn.cli.Main} and one class per command. */
@NullMarked
package dev.vbn.cli;

import org.jspecify.annotations.NullMarked;
