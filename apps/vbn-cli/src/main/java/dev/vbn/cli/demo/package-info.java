/** Handwritten digits, and what pictures of them are drawn with. No part of the kit's API. */
@NullMarked
package dev.vbn.cli.demo;

import org.jspecify.annotations.NullMarked;
