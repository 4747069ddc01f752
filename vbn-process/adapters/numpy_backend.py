#!/usr/bin/env python3
"""VBN in NumPy, behind the backend `process` (docs/PROCESS.md). For code of your own, copy this and change the class."""
import json, struct, sys
import numpy as np

class Backend:
    name = "NumPy " + np.__version__
    capabilities = "FLOAT64 FLOAT64_STATISTICS SUBNORMALS DOUBLE_BACKWARD CONDITIONAL"

    def grouped(self, x, scope):
        """[groups, features, elements] of a batch [examples, before, features, after], in 64 bits."""
        x = np.moveaxis(x.astype(np.float64), 2, 1 if scope == "example" else 0)
        return x.reshape(*x.shape[:2], -1) if scope == "example" else x.reshape(1, len(x), -1)

    def like(self, x, scope, groups):
        axis = 1 if scope == "example" else 0
        return np.moveaxis(groups.reshape(np.moveaxis(x, 2, axis).shape), axis, 2).astype(x.dtype)

    def moments(self, groups):
        mean = groups.mean(axis=2)  # NumPy sums pairwise along the last axis in memory alone: the rest is small
        mean += (groups - mean[..., None]).mean(axis=2)
        return mean, np.square(groups - mean[..., None]).mean(axis=2)

    def mixed(self, groups, w, epsilon, mr, vr):
        """d, s and xh of each group. At weights 0 and 1 the other side does not show, NaN included."""
        ma, va = self.moments(groups)
        d, m, v = np.zeros_like(ma), *((mr[None], vr[None]) if w == 0 else (ma, va))
        if 0 < w < 1:
            d = ma - mr
            m, v = mr + w * d, (1 - w) * vr + w * va + w * (1 - w) * d * d
        s = np.sqrt(v + epsilon)
        return d, s, (groups - m[..., None]) / s[..., None]

    def statistics(self, x, scope):
        mean, variance = self.moments(self.grouped(x, scope))
        return {"mean": mean, "variance": variance} if scope == "example" else {"mean": mean[0], "variance": variance[0]}

    def reference(self, x, epsilon, gamma=None, beta=None):
        own = self.statistics(x, "batch")
        return {**self.forward(x, "batch", 1.0, epsilon, **own, gamma=gamma, beta=beta), **own}

    def forward(self, x, scope, weight, epsilon, mean, variance, gamma=None, beta=None):
        _, _, y = self.mixed(self.grouped(x, scope), weight, epsilon, mean, variance)
        y = y if gamma is None else gamma[:, None] * y
        return {"output": self.like(x, scope, y if beta is None else y + beta[:, None])}

    def backward(self, x, upstream, scope, weight, epsilon, attached, mean, variance, gamma=None):
        w, dy, groups = weight, self.grouped(upstream, scope), self.grouped(x, scope)
        d, s, xh = self.mixed(groups, w, epsilon, mean, variance)
        a, b = dy.sum(axis=2), (dy * xh).sum(axis=2)
        factor = (1.0 if gamma is None else gamma) / s
        inner = dy if w == 0 else dy - w / groups.shape[2] * (a[..., None] + xh * b[..., None])
        result = {"dx": self.like(x, scope, factor[..., None] * inner),
                  "dgamma": b.sum(axis=0).astype(x.dtype), "dbeta": a.sum(axis=0).astype(x.dtype)}
        if attached:
            dm, dv = -factor * a, -factor / (2 * s) * b
            result["dmean"] = ((1 - w) * dm - 2 * w * (1 - w) * d * dv).sum(axis=0)
            result["dvariance"] = ((1 - w) * dv).sum(axis=0)
        return result

    def double_backward(self, x, upstream, scope, weight, epsilon, mean, variance, v, gamma=None, vgamma=None, vbeta=None):
        """Gradients of sum(dx*v) + sum(dgamma*vgamma) + sum(dbeta*vbeta); Normalization.secondSlopes has the formula."""
        dy, u, groups = (self.grouped(each, scope) for each in (upstream, v, x))
        _, s, xh = self.mixed(groups, weight, epsilon, mean, variance)
        a, b, sum_v, w, d = (each.sum(axis=2) for each in (dy, dy * xh, u, u * xh, dy * u))
        share, factor = weight / groups.shape[2], (1.0 if gamma is None else gamma) / s
        k, vgamma, vbeta = share * factor, 0.0 if vgamma is None else vgamma, 0.0 if vbeta is None else vbeta
        if weight == 0:  # no sum reaches an element, nor x its own gradient: 0 * NaN is NaN
            q, cross, constant, live = d, np.broadcast_to(vgamma, s.shape), np.broadcast_to(vbeta, s.shape), 0.0
        else:
            q, cross, constant = d - share * (a * sum_v + b * w), vgamma - k * w, vbeta - k * sum_v
            through_mean = vgamma * a - k * (a * w + b * sum_v)
            through_deviation = vgamma * b - 2 * k * b * w + factor * q
            live = (k * b)[..., None] * u + share * (through_mean[..., None] + xh * through_deviation[..., None])
        return {"x_gradient": self.like(x, scope, (cross[..., None] * dy - live) / s[..., None]),
                "dy_gradient": self.like(x, scope, factor[..., None] * u + cross[..., None] * xh + constant[..., None]),
                "gamma_gradient": (q / s).sum(axis=0).astype(x.dtype)}

    def reference_gradient(self, x, elements, mean, variance, dmean, dvariance):
        deviation = self.grouped(x, "batch") - mean[:, None]
        return {"dx": self.like(x, "batch", (dmean[:, None] + 2 * deviation * dvariance[:, None]) / elements)}

    def sums(self, x, upstream, scope, weight, epsilon, mean, variance):
        """A and B of each group, which gradients are made of."""
        dy = self.grouped(upstream, scope)
        _, _, xh = self.mixed(self.grouped(x, scope), weight, epsilon, mean, variance)
        return {"a": dy.sum(axis=2), "b": (dy * xh).sum(axis=2)}

    def write(self, x, scope, center, factor, offset, slope=None, upstream=None):
        """Each group on a line of its own; without a slope over x, dy alone is on it."""
        ofx, y = (factor if upstream is None else slope), offset[..., None]
        if ofx is not None:
            y = y + ofx[..., None] * (self.grouped(x, scope) - center[..., None])
        return {"output": self.like(x, scope, y if upstream is None else y + factor[..., None] * self.grouped(upstream, scope))}

def serve(backend, requests=sys.stdin.buffer, answers=sys.stdout.buffer):
    sys.stdout = sys.stderr  # what is printed is no answer
    while length := requests.read(8):
        header = json.loads(requests.read(*struct.unpack("<Q", length)))
        texts = header.pop("__metadata__")
        data = requests.read(max((each["data_offsets"][1] for each in header.values()), default=0))
        given = {name: np.frombuffer(data[slice(*each["data_offsets"])], {"F32": "<f4", "F64": "<f8"}[each["dtype"]])
                 .reshape(each["shape"]) for name, each in header.items()}
        said, results, operation = {"call": texts.pop("call")}, {}, texts.pop("op")
        if operation == "hello":
            said.update(vbn="1", name=backend.name, capabilities=backend.capabilities)
        else:
            for key, text in texts.items():
                given[key] = text == "true" if key == "attached" else text if key == "scope" else float(text)
            try:
                results = getattr(backend, operation.replace("-", "_"))(**given)
            except Exception as failure:
                said["error"] = repr(failure)
        header, at = {"__metadata__": said}, 0
        for name, each in results.items():
            header[name] = {"dtype": f"F{8 * each.itemsize}", "shape": each.shape, "data_offsets": [at, at + each.nbytes]}
            at += each.nbytes
        header = json.dumps(header).encode()
        answers.write(struct.pack("<Q", len(header)) + header + b"".join(each.tobytes() for each in results.values()))
        answers.flush()

if __name__ == "__main__":
    np.seterr(all="ignore")
    serve(Backend())
