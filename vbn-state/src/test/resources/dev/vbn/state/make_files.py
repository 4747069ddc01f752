"""Makes the .npy and .npz files beside it; the values are in NpyTest and NpzTest.

Run with NumPy 1.23 or later: since then the header leaves room for the first length to grow.
"""

import io
import pathlib
import zipfile

import numpy as np
from numpy.lib import format as npy

HERE = pathlib.Path(__file__).parent


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()
        super().close()


def save(name, array, version=None):
    with open(HERE / name, "wb") as file:
        npy.write_array(file, array, version=version)


def count(*shape, dtype="<f4"):
    """0.5, 1.5, 2.5, ... in row-major order."""
    return (np.arange(np.prod(shape, dtype=int)) + 0.5).reshape(shape).astype(dtype)


save("c-2x3-f4.npy", count(2, 3))
save("c-2x3-f8.npy", count(2, 3, dtype="<f8"))
save("c-2x3-big-f4.npy", count(2, 3, dtype=">f4"))
save("f-2x3-f4.npy", np.asfortranarray(count(2, 3)))
save("f-2x3x4-big-f8.npy", np.asfortranarray(count(2, 3, 4, dtype=">f8")))
save("f-2x3x2x3-f4.npy", np.asfortranarray(count(2, 3, 2, 3)))
# More than one tile of the transposition, in both directions.
save("f-35x2x33-f4.npy", np.asfortranarray(count(35, 2, 33)))
save("v2.npy", count(3), version=(2, 0))
save("v3.npy", count(3), version=(3, 0))
save("scalar-f8.npy", np.array(-0.1))
save("empty-2x0x3-f4.npy", np.zeros((2, 0, 3), "<f4"))
save("rank-32-f4.npy", count(*[1] * 31, 2))
special = np.array([0x00000001, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001], "<u4")
save("special-f4.npy", special.view("<f4"))
save("int64.npy", np.arange(3))
save("half.npy", np.arange(3, dtype="<f2"))
save("fields.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
# Here the header ends exactly on 64 bytes, where NumPy adds 64 more.
save("padded-f4.npy", count(0, *[1] * 12, 100))

arrays = {
    "x": count(2, 3),
    "gamma": count(2, dtype=">f8"),
    "meta": np.array('{"e": "é\U0001d53c"}'),
}
np.savez(HERE / "stored.npz", **arrays)
np.savez_compressed(HERE / "deflated.npz", **arrays)
# As NumPy writes to a pipe: sizes only after the data, and in the directory.
with Pipe(HERE / "piped.npz") as pipe, zipfile.ZipFile(pipe, "w") as archive:
    for name, array in arrays.items():
        with archive.open(name + ".npy", "w", force_zip64=True) as entry:
            npy.write_array(entry, np.asanyarray(array))
np.savez(HERE / "strings.npz", names=np.array(["a", "b"]))
np.savez(HERE / "big-endian-string.npz", meta=np.array("né", ">U4"))
np.savez(HERE / "integers.npz", x=count(2), label=np.arange(2))
