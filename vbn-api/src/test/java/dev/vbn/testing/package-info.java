/** What the tests of the API share: kernels that record, providers to find, and refusals. */
@NullMarked
package dev.vbn.testing;

import org.jspecify.annotations.NullMarked;
