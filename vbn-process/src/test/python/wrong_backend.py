"""The adapter in NumPy with one fault, named by the argument."""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "adapters"))
import numpy as np
from numpy_backend import Backend, serve


class Unbiased(Backend):
    def moments(self, groups):
        mean, variance = super().moments(groups)
        n = groups.shape[2]
        return mean, variance * n / max(n - 1, 1)


class WeightOfOneMore(Backend):
    """Where each example is mixed with the reference batch, and nowhere else."""

    def forward(self, x, scope, weight, epsilon, **others):
        if scope == "example":
            weight = weight / (1 + weight)
        return super().forward(x, scope, weight, epsilon, **others)


class LastUpstreamForgotten(Backend):
    """Where features have 12 in number."""

    def backward(self, x, upstream, **others):
        result = super().backward(x=x, upstream=upstream, **others)
        if x.shape[2] == 12:
            result["dbeta"] = (result["dbeta"] - upstream[-1, -1, :, -1]).astype(x.dtype)
        return result


class PreviousStatistics(Backend):
    """Of the batch before, where two of one shape follow each other."""

    last = None

    def reference(self, x, epsilon, gamma=None, beta=None):
        result = super().reference(x, epsilon, gamma, beta)
        before, self.last = self.last, result
        if before is not None and before["output"].shape == result["output"].shape and not np.isnan(before["mean"]).any():
            result = {**result, "mean": before["mean"], "variance": before["variance"]}
        return result


serve({each.__name__: each for each in Backend.__subclasses__()}[sys.argv[1]]())
