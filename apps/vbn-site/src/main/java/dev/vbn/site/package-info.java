/** The documents as a static site. */
@NullMarked
package dev.vbn.site;

import org.jspecify.annotations.NullMarked;
