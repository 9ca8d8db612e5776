"""Reads the numeric arrays of a subject folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io import files


def read_numbers(path: Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """Reads an array of finite integers or floats, in the file's dtype.

    `shape` holds None where any length will do. Raises UserError if the file is absent, damaged or holds anything else.
    """
    array = files.load_npy(path)
    fits = (
        isinstance(array, np.ndarray)
        and array.ndim == len(shape)
        and all(expected in (None, found) for expected, found in zip(shape, array.shape))
        and array.dtype.kind in "fiu"
    )
    if not fits:
        expected = " x ".join("any" if length is None else str(length) for length in shape)
        raise UserError(f"{path} must hold {expected} numbers, not {described(array)}.")
    if not np.isfinite(array).all():
        raise UserError(f"{path} holds numbers that are not finite.")
    return array


def shape_text(shape: Sequence[int]) -> str:
    """A shape for a message, such as "40 x 3"."""
    return " x ".join(str(length) for length in shape)


def described(value: Any) -> str:
    """A value for a message: an array by its shape and dtype, anything else by its type."""
    if isinstance(value, np.ndarray):
        return f"{shape_text(value.shape) or 'one'} of {value.dtype}"
    return f"a {type(value).__name__}"
