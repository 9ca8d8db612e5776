"""Files of joblib.dump: a pickle in which the bytes of each array follow the place where it is described.

The format as joblib 0.10 and later write it: a `NumpyArrayWrapper` with the array's shape, order and dtype; since 1.2
then a byte with the length of the padding, and the padding; then the raw bytes. All of it may be compressed (zlib,
gzip). Read with the restricted unpickler, so that nothing but arrays and containers is built.
"""

import io
import pickle
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hashhuman.io.files import reading
from hashhuman.io.pickles import unpickle
from preprocess.body_fit.source.tensors import TENSORS

_COMPRESSED = (b"\x78", b"\x1f\x8b")  # how zlib and gzip begin, and no pickle does
_EITHER = 32 + zlib.MAX_WBITS


class _Wrapper:
    """`joblib.numpy_pickle.NumpyArrayWrapper`. Its state is set when the file is read up to the array's bytes.

    The unpickler has not read further: the writer ends a frame of the pickle there, and it takes a frame at a time.
    """

    file: ClassVar[io.BytesIO]

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype = state["dtype"].dtype
        if dtype.hasobject:
            raise pickle.UnpicklingError("arrays of objects are not admitted")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.seek(self.file.read(1)[0], io.SEEK_CUR)
        shape = tuple(int(n) for n in state["shape"])
        data = self.file.read(int(np.prod(shape, dtype=object)) * dtype.itemsize)
        self.array = np.frombuffer(data, dtype).reshape(shape, order="F" if state["order"] == "F" else "C").copy()


def load_joblib(path: Path) -> Any:
    """What joblib.dump wrote. Raises UserError if it is absent, truncated, or holds more than arrays and containers."""
    with reading(path, "joblib") as file:
        data = file.read()
        stream = io.BytesIO(zlib.decompress(data, wbits=_EITHER) if data.startswith(_COMPRESSED) else data)
        wrapper = type("Wrapper", (_Wrapper,), {"file": stream})
        stand_ins = {
            ("joblib.numpy_pickle", "NumpyArrayWrapper"): wrapper,
            ("collections", "defaultdict"): lambda *_: {},
            ("builtins", "dict"): dict,
            ("__builtin__", "dict"): dict,
        }
        return _unwrapped(unpickle(stream, {**TENSORS, **stand_ins}))


def _unwrapped(value: Any) -> Any:
    """The value with arrays in the place of their wrappers."""
    if isinstance(value, _Wrapper):
        return value.array
    if isinstance(value, dict):
        return {key: _unwrapped(item) for key, item in value.items()}
    return [_unwrapped(item) for item in value] if isinstance(value, list | tuple) else value
