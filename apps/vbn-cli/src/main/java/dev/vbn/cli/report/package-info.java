/** What the conformance kit found, and the files that tell it: one page of HTML, and JSON. */
@NullMarked
package dev.vbn.cli.report;

import org.jspecify.annotations.NullMarked;
