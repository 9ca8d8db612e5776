"""Reads SMPL's .pkl, a pickle of Python 2 with expressions of chumpy and sparse matrices of SciPy, without either.

Stand-ins replace their classes: they only keep the state that the pickle gives them. The few kinds of expression that
such files are known to contain are evaluated here.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io import files


class StandIn:
    """Stands for an object of another package, of which it keeps the state."""

    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("an object's state is not a dictionary")
        self.state = state

    def value(self) -> np.ndarray:
        """The array that the object stands for."""
        raise ValueError("it is a kind of chumpy expression that cannot be evaluated here")


class Leaf(StandIn):
    """`chumpy.ch.Ch`: an array."""

    def value(self) -> np.ndarray:
        return evaluated(self.state["x"])


class Select(StandIn):
    """`chumpy.reordering.Select`: some elements of an array, in a new shape."""

    def value(self) -> np.ndarray:
        chosen = evaluated(self.state["a"]).ravel()[np.asarray(self.state["idxs"])]
        return chosen.reshape(self.state.get("preferred_shape", chosen.shape))


class Reshape(StandIn):
    """`chumpy.reordering.Reshape`: an array in another shape."""

    def value(self) -> np.ndarray:
        return evaluated(self.state["a"]).reshape(self.state["newshape"])


class Transpose(StandIn):
    """`chumpy.reordering.transpose`: an array with its axes permuted."""

    def value(self) -> np.ndarray:
        return evaluated(self.state["a"]).transpose(self.state.get("axes"))


class SparseColumns(StandIn):
    """`scipy.sparse.csc_matrix`: a matrix stored column by column."""

    def value(self) -> np.ndarray:
        rows, columns = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        return _dense(self.state, rows, columns)


class SparseRows(StandIn):
    """`scipy.sparse.csr_matrix`: a matrix stored row by row."""

    def value(self) -> np.ndarray:
        rows, columns = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        return _dense(self.state, columns, rows).T


def _dense(state: dict[str, Any], minor: int, major: int) -> np.ndarray:
    """The dense matrix (minor, major) of a sparse one whose columns are stored one after the other."""
    starts, indices, data = (np.asarray(state[name]) for name in ("indptr", "indices", "data"))
    if starts.shape != (major + 1,) or indices.shape != data.shape or starts[-1] != len(data):
        raise ValueError("the sparse matrix is damaged")
    matrix = np.zeros((minor, major))
    np.add.at(matrix, (indices, np.repeat(np.arange(major), np.diff(starts))), data)
    return matrix


def evaluated(value: Any) -> np.ndarray:
    """The array that a value of the file stands for. Raises ValueError if it cannot be evaluated."""
    return value.value() if isinstance(value, StandIn) else np.asarray(value)


class _Object:
    """`object`, which protocols 0 and 1 name as the base class of every object."""


def _reconstructor(kind: Any, base: Any, state: Any) -> StandIn:
    """`copy_reg._reconstructor`, which protocols 0 and 1 call to make an object."""
    if not (isinstance(kind, type) and issubclass(kind, StandIn)) or base is not _Object:
        raise pickle.UnpicklingError("only objects of chumpy and SciPy are admitted")
    return kind()


# Classes in entries that are not read: they must load, but are never evaluated.
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
    **{("chumpy." + module, name): StandIn for module, names in _UNUSED.items() for name in names},
    **{("scipy.sparse." + module, "csc_matrix"): SparseColumns for module in ("csc", "_csc")},
    **{("scipy.sparse." + module, "csr_matrix"): SparseRows for module in ("csr", "_csr")},
}


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named entries of the pickle's dictionary as arrays; entries that it lacks are left out.

    Raises UserError if the file is absent or damaged, names any other class or holds no dictionary, or an entry cannot
    be evaluated to an array.
    """
    content = files.load_pickle(path, STAND_INS)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no body model: it must be a dictionary with v_template, weights and others.")
    return {name: _array(path, name, content[name]) for name in names if name in content}


def _array(path: Path, name: str, value: Any) -> np.ndarray:
    try:
        return evaluated(value)
    except (ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{path}: its {name} is no array ({reason}); download the file again.") from None
