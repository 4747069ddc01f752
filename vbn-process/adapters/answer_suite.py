#!/usr/bin/env python3
"""Answers the suite that `vbn conform --export DIR` wrote, by the class of numpy_backend.py:

    python3 answer_suite.py DIR

For code of your own, call it instead of `backend`. What is wanted of each case: DIR/README.md."""
import json, os, struct, sys
import numpy as np
from numpy_backend import Backend


def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(*struct.unpack("<Q", file.read(8))))
        data = file.read()
    texts = header.pop("__metadata__", {})
    types = {"F32": "<f4", "F64": "<f8"}
    return {name: np.frombuffer(data[slice(*each["data_offsets"])], types[each["dtype"]]).reshape(each["shape"])
            for name, each in header.items()}, texts


def write(path, tensors):
    header, at = {}, 0
    for name, each in tensors.items():
        header[name] = {"dtype": f"F{8 * each.itemsize}", "shape": each.shape, "data_offsets": [at, at + each.nbytes]}
        at += each.nbytes
    header = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + b"".join(each.tobytes() for each in tensors.values()))


def answer(backend, case, texts):
    axis, attached = int(texts["feature_axis"]), texts["attached"] == "true"
    scope, w, epsilon = texts["scope"], float(texts["weight"]), float(texts["epsilon"])

    def canonical(name):  # [examples, before, features, after]
        batch = case[name]
        return batch.reshape(len(batch), int(np.prod(batch.shape[1:axis])), batch.shape[axis], -1)

    x, r, gamma, beta = canonical("x"), canonical("reference"), case.get("gamma"), case.get("beta")
    reference = backend.reference(r, epsilon, gamma, beta)
    own = {"mean": reference["mean"], "variance": reference["variance"]}
    d, m, v = 0.0, own["mean"], own["variance"]
    if w > 0:
        live = backend.statistics(x, scope)
        d = live["mean"] - own["mean"]
        m, v = m + w * d, (1 - w) * v + w * live["variance"] + w * (1 - w) * d * d
    output = backend.forward(x, scope, w, epsilon, gamma=gamma, beta=beta, **own)["output"]
    back = backend.backward(x, canonical("upstream"), scope, w, epsilon, attached, gamma=gamma, **own)
    through = backend.backward(r, canonical("reference_upstream"), *(("batch", 1.0) if attached else ("none", 0.0)),
                               epsilon, False, gamma=gamma, **own)
    results = {**own, "live_mean": m, "live_variance": v, "output": output.reshape(case["x"].shape),
               "dx": back["dx"].reshape(case["x"].shape), "dgamma": back["dgamma"], "dbeta": back["dbeta"],
               "reference_output": reference["output"].reshape(case["reference"].shape),
               "reference_dx": through["dx"].reshape(case["reference"].shape),
               "reference_dgamma": through["dgamma"], "reference_dbeta": through["dbeta"]}
    if attached:
        dr = backend.reference_gradient(r, r[:, :, 0].size, **own, dmean=back["dmean"], dvariance=back["dvariance"])
        results["dreference"] = dr["dx"].reshape(case["reference"].shape)
    return results


if __name__ == "__main__":
    np.seterr(all="ignore")
    folder = sys.argv[1]
    os.makedirs(os.path.join(folder, "answers"), exist_ok=True)
    for name in sorted(os.listdir(os.path.join(folder, "cases"))):
        case, texts = read(os.path.join(folder, "cases", name))
        write(os.path.join(folder, "answers", name), answer(Backend(), case, texts))
