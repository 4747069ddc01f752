"""Makes the .pt files beside it, by PyTorch itself; the values are in expected-state-dicts.npz.

Run with PyTorch (made with 1.13.1) and NumPy.
"""

import io
import json
import pathlib
import struct

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
expected = {}


def save(name, state, **how):
    """By the zip of today, and the plain file of before."""
    # The zip's folder is named after the file: without one it is "archive", on every machine.
    buffer = io.BytesIO()
    torch.save(state, buffer, **how)
    (HERE / f"{name}.pt").write_bytes(buffer.getvalue())
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False, **how)
    (HERE / f"{name}-plain.pt").write_bytes(buffer.getvalue())


def expect(name, state):
    for key, tensor in state.items():
        expected[f"{name}/{key}"] = tensor.detach().double().numpy()


torch.manual_seed(1)
norm = torch.nn.BatchNorm1d(3)
for _ in range(3):
    norm(2 + torch.randn(5, 3))
with torch.no_grad():
    norm.weight.normal_(1, 0.02)
    norm.bias.normal_(0, 1)
save("batch-norm", norm.state_dict())
expect("batch-norm", norm.state_dict())

types = {
    "half": torch.tensor([1.0, -2.5, 65504.0, 5.9604644775390625e-8]).half(),
    "bfloat16": torch.tensor([1.0, -2.5, 3.3895313892515355e38, 1e-30]).bfloat16(),
    "float": torch.tensor([1.1, -0.0, float("inf"), 1e-45]),
    "double": torch.tensor([0.1, 1e300, -5e-324, 3.0], dtype=torch.float64),
}
expect("types", types)
types |= {
    str(dtype).removeprefix("torch."): torch.arange(2).to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64)
}
save("types", types)

base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
wide = torch.arange(12, dtype=torch.float64).reshape(3, 4)
views = {
    "base": base,
    "slice": base[1, 1:, 1:3],
    "transposed": base.permute(2, 0, 1),
    "stepped": base[:, ::2, ::3],
    "expanded": base[0, 0, 1].expand(2, 5),
    "same": base.view(24),
    "scalar": base[1, 2, 3],
    "none": base[:, :0],
    "wide": wide.t(),
    "parameter": torch.nn.Parameter(torch.tensor([[7.0], [8.0]])),
}
save("views", views)
expect("views", views)

optimizer = torch.optim.Adam(norm.parameters(), lr=0.5)
norm(torch.randn(5, 3)).square().sum().backward()
optimizer.step()
checkpoint = {
    "model": norm.state_dict(),
    "optimizer": optimizer.state_dict(),
    "epoch": 3,
    "eps": 0.125,
    "variant": "per-example",
    "best": None,
    "done": False,
    "large": 1 << 40,
    "negative": -7,
}
save("checkpoint", checkpoint, pickle_protocol=4)
expect("checkpoint", {f"model.{key}": value for key, value in norm.state_dict().items()})

# The network of the safetensors file, as torch saves it.
data = (HERE / "network.safetensors").read_bytes()
length = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8 : 8 + length])
network = {}
for key, entry in header.items():
    if key != "__metadata__":
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        array = np.frombuffer(data[begin:end], kind).reshape(entry["shape"])
        network[key] = torch.from_numpy(array.copy())
save("network", network | {"reference_examples": 12})

buffer = io.BytesIO()
torch.save(norm, buffer)
(HERE / "whole-module.pt").write_bytes(buffer.getvalue())
torch.save(norm.weight.data, HERE / "one-tensor.pt")
buffer = io.BytesIO()
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
(HERE / "script.pt").write_bytes(buffer.getvalue())
np.savez(HERE / "expected-state-dicts.npz", **expected)
