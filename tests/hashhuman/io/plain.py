"""What the restricted unpickler admits."""

import collections

import numpy as np

PLAIN = {
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.eye(3)[:, :2]),
    "strided": np.arange(10)[::2],
    "empty": np.zeros((0, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "objects": np.array([None, 1.5], object),
    "permuted": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "scalar": np.float32(2.5),
    "text": np.array(["a", "bcd"]),
    "nested": [(1, 2.5, True, None), b"bytes", collections.OrderedDict(x=np.int64(3)), {"set"}, frozenset()],
}


def assert_plain(value: dict) -> None:
    for name in PLAIN.keys() - {"nested"}:
        np.testing.assert_array_equal(value[name], PLAIN[name])
        assert value[name].dtype.newbyteorder("=") == PLAIN[name].dtype.newbyteorder("=")
    assert value["nested"] == PLAIN["nested"]
