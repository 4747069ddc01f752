#!/usr/bin/env python3
"""The founding form of virtual batch normalization, in PyTorch, behind VBN's backend `process`: in 32 bits, with
means of squares for variances and gradients by autograd. Its messages are those of numpy_backend.py next to it."""
import torch
from numpy_backend import serve

class Backend:
    name = "PyTorch " + torch.__version__ + ", the founding form"
    capabilities = "SUBNORMALS"  # all is 32 bits

    def moments(self, x, scope):
        """Mean and mean of squares of a batch [examples, before, features, after]."""
        axes = (1, 3) if scope == "example" else (0, 1, 3)
        return x.mean(dim=axes, keepdim=True), (x * x).mean(dim=axes, keepdim=True)

    def normalized(self, x, scope, weight, epsilon, mean, variance, gamma, beta):
        mean = mean[:, None]
        square = variance[:, None] + mean * mean
        if weight > 0:
            own, own_square = self.moments(x, scope)
            rest = 1 - weight
            mean, square = (weight * own + rest * mean, weight * own_square + rest * square) if rest else (own, own_square)
        return gamma[:, None] * ((x - mean) / torch.sqrt(epsilon + square - mean * mean)) + beta[:, None]

    def leaf(self, array, x, absent=0.0):
        """As a tensor whose gradient can be asked for; of a copy, for a message cannot be written to."""
        tensor = torch.full((x.shape[2],), absent) if array is None else torch.from_numpy(array.copy())
        return tensor.requires_grad_()

    def statistics(self, x, scope):
        mean, square = self.moments(torch.from_numpy(x.copy()), scope)
        shape = (x.shape[0], x.shape[2]) if scope == "example" else (x.shape[2],)
        return {"mean": mean.reshape(shape).numpy(), "variance": (square - mean * mean).reshape(shape).numpy()}

    def reference(self, x, epsilon, gamma=None, beta=None):
        own = self.statistics(x, "batch")
        return {**self.forward(x, "none", 0.0, epsilon, **own, gamma=gamma, beta=beta), **own}

    def forward(self, x, scope, weight, epsilon, mean, variance, gamma=None, beta=None):
        leaves = [self.leaf(each, x) for each in (x, mean, variance)]
        y = self.normalized(leaves[0], scope, weight, epsilon, *leaves[1:], self.leaf(gamma, x, 1.0), self.leaf(beta, x))
        return {"output": y.detach().numpy()}

    def backward(self, x, upstream, scope, weight, epsilon, attached, mean, variance, gamma=None):
        leaves = [self.leaf(each, x) for each in (x, mean, variance)] + [self.leaf(gamma, x, 1.0), self.leaf(None, x)]
        y = self.normalized(leaves[0], scope, weight, epsilon, *leaves[1:])
        gradients = torch.autograd.grad(y, leaves, torch.from_numpy(upstream.copy()), allow_unused=True)
        names = ("dx", "dmean", "dvariance", "dgamma", "dbeta")
        return {name: (torch.zeros_like(leaf) if gradient is None else gradient).detach().numpy()
                for name, leaf, gradient in zip(names, leaves, gradients) if attached or name not in ("dmean", "dvariance")}

    def reference_gradient(self, x, elements, mean, variance, dmean, dvariance):
        dmean, deviation = dmean[:, None], x - mean[:, None]
        return {"dx": ((dmean + 2 * deviation * dvariance[:, None]) / elements).astype("float32")}

if __name__ == "__main__":
    serve(Backend())
