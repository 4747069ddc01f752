/** Virtual batch normalization on the tensors of TensorFlow Java: an example of a stranger's backend. */
@NullMarked
package com.example.tensorflow;

import org.jspecify.annotations.NullMarked;
