#!/usr/bin/env python3
"""Public implementations of virtual batch normalization, each by how it computes, restated in NumPy:

    vbn conform --command 'python3 public_forms.py FORM'

where FORM is mean-of-squares, mean-of-squares-64, clamped or improved-gan. docs/IMPLEMENTATIONS.md says whose each is, and
what the kit finds. The weight and the scope are the kit's: an implementation has one of each. Gradients are those of the
formula, from the statistics of the form. numpy_backend.py lies next to it."""
import sys
import numpy as np
from numpy_backend import Backend, serve


class MeanOfSquares(Backend):
    """In 32 bits, v = E[x^2] - m^2 of the mixed means: SEGAN in both its versions, TF-GAN."""

    name = "mean of squares, in 32 bits"
    capabilities = "SUBNORMALS"
    width = np.float32

    def grouped(self, x, scope):
        return super().grouped(x, scope).astype(self.width)

    def means(self, groups):
        return groups.mean(axis=2), np.square(groups).mean(axis=2)

    def variance(self, mean, square):
        return square - mean * mean

    def moments(self, groups):
        mean, square = self.means(groups)
        return mean, self.variance(mean, square)

    def mixed(self, groups, w, epsilon, mr, vr):
        w, epsilon = self.width(w), self.width(epsilon)
        m, square = mr[None], vr[None] + mr[None] * mr[None]
        ma, own = self.means(groups)
        d = np.zeros_like(ma)
        if w == 1:
            m, square = ma, own
        elif w > 0:
            d = ma - m
            m, square = w * ma + (1 - w) * m, w * own + (1 - w) * square
        s = np.sqrt(self.variance(m, square) + epsilon)
        return d, s, (groups - m[..., None]) / s[..., None]

    def reference_gradient(self, **given):
        return super().reference_gradient(**{key: np.float64(each) if key != "x" else each for key, each in given.items()})

    def backward(self, x, **given):
        result = super().backward(x=x, **given)
        return {key: each if key in ("dx", "dgamma", "dbeta") else each.astype(self.width) for key, each in result.items()}


class MeanOfSquares64(MeanOfSquares):
    """The same in 64 bits: mlpack."""

    name = "mean of squares, in 64 bits"
    capabilities = "FLOAT64 FLOAT64_STATISTICS SUBNORMALS"
    width = np.float64


class Clamped(MeanOfSquares):
    """Summed in 64 bits, kept in 32, and no variance below 0: torsh."""

    name = "mean of squares, summed in 64 bits, clamped"

    def means(self, groups):
        return tuple(each.astype(np.float32) for each in super().means(groups.astype(np.float64)))

    def variance(self, mean, square):
        return np.maximum(super().variance(mean, square), np.float32(0))


class ImprovedGan(MeanOfSquares):
    """Means of each example next to the mean of squares of the whole batch: improved-gan."""

    name = "means by example, means of squares by batch"

    def means(self, groups):
        mean, square = super().means(groups)
        return mean, np.broadcast_to(square.mean(axis=0, keepdims=True), square.shape)


FORMS = {"mean-of-squares": MeanOfSquares, "mean-of-squares-64": MeanOfSquares64, "clamped": Clamped, "improved-gan": ImprovedGan}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in FORMS:
        sys.exit(f"public_forms.py: given {sys.argv[1:]}; expected one of {', '.join(FORMS)}")
    np.seterr(all="ignore")
    serve(FORMS[sys.argv[1]]())
