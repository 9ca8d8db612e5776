"""Reads files of joblib.dump: pickles in which the bytes of each array follow its description.

joblib 0.10 and later write a `NumpyArrayWrapper` with the array's shape, order and dtype; since 1.2, a byte with the
length of the padding, and the padding; then the raw bytes of the array. The file may be compressed (zlib, gzip). It is
read with the restricted unpickler, so that only arrays and containers are built.
"""

import io
import pickle
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hashhuman.io import limits
from hashhuman.io.files import reading
from hashhuman.io.pickles import unpickle
from preprocess.body_fit.source.tensors import TENSORS

_COMPRESSED = (b"\x78", b"\x1f\x8b")  # the first bytes of zlib and gzip data; no pickle starts with them
_EITHER = 32 + zlib.MAX_WBITS  # zlib detects which of the two it is


class _Wrapper:
    """Stands in for `joblib.numpy_pickle.NumpyArrayWrapper`, and reads the array when its state is set.

    At that moment the file stands at the array's bytes: joblib ends a frame of the pickle there, and the unpickler
    reads one frame at a time.
    """

    file: ClassVar[io.BytesIO]

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype = state["dtype"].dtype
        if dtype.hasobject:
            raise pickle.UnpicklingError("arrays of objects are not admitted")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.seek(self.file.read(1)[0], io.SEEK_CUR)
        shape = tuple(int(n) for n in state["shape"])
        limits.check_array(shape, dtype.itemsize, self.file)
        data = self.file.read(int(np.prod(shape, dtype=object)) * dtype.itemsize)
        self.array = np.frombuffer(data, dtype).reshape(shape, order="F" if state["order"] == "F" else "C").copy()


def load_joblib(path: Path) -> Any:
    """The content of a joblib file. Raises UserError if it is absent, damaged, or not just arrays and containers."""
    with reading(path, "joblib") as file:
        data = file.read()
        stream = io.BytesIO(limits.inflate(data, _EITHER) if data.startswith(_COMPRESSED) else data)
        wrapper = type("Wrapper", (_Wrapper,), {"file": stream})
        stand_ins = {
            ("joblib.numpy_pickle", "NumpyArrayWrapper"): wrapper,
            ("collections", "defaultdict"): lambda *_: {},
            ("builtins", "dict"): dict,
            ("__builtin__", "dict"): dict,
        }
        return _unwrapped(unpickle(stream, {**TENSORS, **stand_ins}))


def _unwrapped(value: Any) -> Any:
    """The value with every wrapper replaced by its array."""
    if isinstance(value, _Wrapper):
        return value.array
    if isinstance(value, dict):
        return {key: _unwrapped(item) for key, item in value.items()}
    return [_unwrapped(item) for item in value] if isinstance(value, list | tuple) else value
