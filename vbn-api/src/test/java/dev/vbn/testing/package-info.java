/** What the tests of the API share: a backend that records, providers to find, and refusals. */
@NullMarked
package dev.vbn.testing;

import org.jspecify.annotations.NullMarked;
