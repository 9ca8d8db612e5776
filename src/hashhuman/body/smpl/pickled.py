"""SMPL's own .pkl: a pickle of Python 2 with chumpy's expressions and SciPy's sparse matrices, read without either.

Their classes are replaced by stand-ins that keep the state they are given and do nothing; the few kinds of expression
that such files are known to hold are evaluated here.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io import files


class Recorded:
    """Stands for an object of another package."""

    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("an object's state is not a dictionary")
        self.state = state

    def value(self) -> np.ndarray:
        """The array that the object stands for."""
        raise ValueError("it is an expression of chumpy that is not known here")


class Leaf(Recorded):
    """`chumpy.ch.Ch`: an array."""

    def value(self) -> np.ndarray:
        return evaluated(self.state["x"])


class Select(Recorded):
    """`chumpy.reordering.Select`: some elements of an array, in a new shape."""

    def value(self) -> np.ndarray:
        chosen = evaluated(self.state["a"]).ravel()[np.asarray(self.state["idxs"])]
        return chosen.reshape(self.state.get("preferred_shape", chosen.shape))


class Reshape(Recorded):
    """`chumpy.reordering.Reshape`."""

    def value(self) -> np.ndarray:
        return evaluated(self.state["a"]).reshape(self.state["newshape"])


class Transpose(Recorded):
    """`chumpy.reordering.transpose`."""

    def value(self) -> np.ndarray:
        return evaluated(self.state["a"]).transpose(self.state.get("axes"))


class SparseColumns(Recorded):
    """`scipy.sparse.csc_matrix`."""

    def value(self) -> np.ndarray:
        rows, columns = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        return _dense(self.state, rows, columns)


class SparseRows(Recorded):
    """`scipy.sparse.csr_matrix`."""

    def value(self) -> np.ndarray:
        rows, columns = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        return _dense(self.state, columns, rows).T


def _dense(state: dict[str, Any], minor: int, major: int) -> np.ndarray:
    """The matrix minor x major whose columns are stored one after the other."""
    starts, indices, data = (np.asarray(state[name]) for name in ("indptr", "indices", "data"))
    if starts.shape != (major + 1,) or indices.shape != data.shape or starts[-1] != len(data):
        raise ValueError("the sparse matrix is damaged")
    matrix = np.zeros((minor, major))
    np.add.at(matrix, (indices, np.repeat(np.arange(major), np.diff(starts))), data)
    return matrix


def evaluated(value: Any) -> np.ndarray:
    """The array that a value of the file stands for."""
    return value.value() if isinstance(value, Recorded) else np.asarray(value)


class _Object:
    """`object`, which old protocols name as the base of what they make."""


def _reconstructor(kind: Any, base: Any, state: Any) -> Recorded:
    """`copy_reg._reconstructor`: how protocols 0 and 1 make an object."""
    if not (isinstance(kind, type) and issubclass(kind, Recorded)) or base is not _Object:
        raise pickle.UnpicklingError("only objects of chumpy and SciPy are made")
    return kind()


# What such files may hold besides, in entries that are not read.
_UNUSED = {
    "ch": ("MatVecMult",),
    "ch_ops": ("add", "subtract", "multiply", "divide", "dot", "tensordot", "sum"),
    "reordering": ("AtleastNd", "Concatenate", "Repeat", "Roll", "Tile", "rollaxis", "swapaxes"),
}
STAND_INS: dict[tuple[str, str], Callable] = {
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("__builtin__", "object"): _Object,
    ("builtins", "object"): _Object,
    ("chumpy.ch", "Ch"): Leaf,
    ("chumpy.reordering", "Select"): Select,
    ("chumpy.reordering", "Reshape"): Reshape,
    ("chumpy.reordering", "transpose"): Transpose,
    **{("chumpy." + module, name): Recorded for module, names in _UNUSED.items() for name in names},
    **{("scipy.sparse." + module, "csc_matrix"): SparseColumns for module in ("csc", "_csc")},
    **{("scipy.sparse." + module, "csr_matrix"): SparseRows for module in ("csr", "_csr")},
}


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the named entries that the pickle's dictionary has, as arrays.

    Raises UserError if the file is absent or damaged, names any other class, holds no dictionary, or an entry is none.
    """
    content = files.load_pickle(path, STAND_INS)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no body model: a dictionary with v_template, weights and others is expected.")
    return {name: _array(path, name, content[name]) for name in names if name in content}


def _array(path: Path, name: str, value: Any) -> np.ndarray:
    try:
        return evaluated(value)
    except (ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{path}: its {name} is no array ({reason}); download the file again.") from None
