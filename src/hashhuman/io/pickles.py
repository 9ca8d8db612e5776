"""An unpickler that never runs a file's code.

The field stores pickles in `.npy` and `.pkl` files, and Python's own unpickler calls whatever function a pickle names.
This one builds numpy arrays, plain containers, strings and numbers, and refuses every other name.
"""

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from typing import Any, TypeAlias

import numpy as np

# (module, name) -> what is called where a pickle names that class or function.
StandIns: TypeAlias = Mapping[tuple[str, str], Callable]


def unpickle(file: BufferedIOBase, stand_ins: StandIns | None = None) -> Any:
    """The object that an open binary file holds, pickled with any protocol.

    Args:
        file: read from its current position.
        stand_ins: further names to admit, with what to call in their place: for example a class that only keeps its
            state, for the sparse matrices in SMPL's file.

    Raises:
        pickle.UnpicklingError: for a name that is not admitted. A damaged file raises this or any other error that
            `hashhuman.io.files.reading` turns into a UserError.
    """
    return _Unpickler(file, stand_ins).load()


def _latin1_encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`: numpy's pickles of protocol 2 store bytes as latin-1 text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r} is not admitted")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """`bytes`: protocols up to 2 call it for empty bytes alone, as in an empty array."""
    return b""


class _Dtype:
    """`numpy.dtype` in a pickle: a type code, whose state adds the byte order.

    numpy's own dtype accepts any state, even one that makes raw bytes count as Python objects.
    """

    def __init__(self, code: str, *align_and_copy: Any) -> None:
        if not re.fullmatch(r"[|<>=]?([biufcSU]\d+|O8?)", code):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not admitted")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, order, *structure = state
        if any(part is not None for part in structure[:3]):
            raise pickle.UnpicklingError("arrays of records are not admitted")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """`numpy.ndarray` in a pickle: created empty and filled by its state. It is never a view of other memory."""

    def __new__(cls) -> "_Array":
        return super().__new__(cls, (0,), "b")

    def __setstate__(self, state: tuple) -> None:
        version, shape, kind, fortran, data = state
        if kind.dtype.hasobject and len(data) != math.prod(shape):  # numpy allocates the claimed size first
            raise pickle.UnpicklingError("an array of objects is shorter or longer than its shape")
        super().__setstate__((version, shape, kind.dtype, fortran, data))

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def _frombuffer(buffer: Any, kind: _Dtype, shape: Any, order: str, axis_order: Any = None) -> np.ndarray:
    """`numpy._core.numeric._frombuffer`: an array in a pickle of protocol 5."""
    flat = np.frombuffer(buffer, dtype=kind.dtype)
    if order == "K" and axis_order is not None:
        return flat.reshape(shape).transpose(axis_order)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(kind: type, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`numpy._core.multiarray._reconstruct`: an empty array, whose state is set afterwards."""
    if kind is not _Array or shape != (0,):
        raise pickle.UnpicklingError("only plain arrays are admitted")
    return _Array()


def _scalar(kind: _Dtype, buffer: bytes | str) -> Any:
    """`numpy._core.multiarray.scalar`: one number."""
    data = buffer.encode("latin1") if isinstance(buffer, str) else buffer  # Python 2 wrote bytes as str
    return np.frombuffer(data, dtype=kind.dtype, count=1)[0]


_ADMITTED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1_encode,
    **{
        (module, name): made  # protocols up to 2 name `__builtin__`, protocol 3 `builtins`
        for module in ("__builtin__", "builtins")
        for name, made in (("bytes", _no_bytes), ("set", set), ("frozenset", frozenset))
    },
    **{
        (f"numpy.{core}.{module}", name): function  # `core` until numpy 1.26, `_core` since
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


class _Unpickler(pickle._Unpickler):
    """Admits arrays, containers, strings and numbers, and the stand-ins that the caller names.

    It derives from Python's unpickler in Python. The one in C allocates memory for as many objects as the stream claims
    to hold, so that a few bytes can ask for gigabytes.
    """

    def __init__(self, file: BufferedIOBase, stand_ins: StandIns | None) -> None:
        super().__init__(file, encoding="latin1")  # latin1: Python 2 wrote arrays as str
        self.admitted = _ADMITTED | dict(stand_ins or {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.admitted:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, which is neither an array, a container nor a number"
            )
        return self.admitted[module, name]
