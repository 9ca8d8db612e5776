"""Checks numbers from files of other tools: they must be finite and of the right shape."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashhuman.errors import UserError

LARGEST = 1e6  # no angle, length in metres or position in pixels is larger


def finite_array(value: Any, path: Path, name: str, absent: bool = False) -> np.ndarray:
    """A float64 array of any shape.

    Args:
        value: a number, list, array or tensor.
        path, name: the file and its entry, for error messages.
        absent: admit NaN, as tools write it for what they have lost.

    Raises UserError if it holds anything but numbers, or numbers that are not finite or are larger than `LARGEST`.
    """
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        if array.dtype.kind not in "fiu":
            raise TypeError
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RuntimeError):  # ragged lists, objects that are not numbers
        raise UserError(f"{path}: {name} must hold nothing but numbers: create the file again.") from None
    if not (np.isfinite(array) | (absent & np.isnan(array))).all():
        raise UserError(f"{path}: {name} holds numbers that are not finite: create the file again.")
    if np.abs(np.nan_to_num(array)).max(initial=0) > LARGEST:
        raise UserError(f"{path}: {name} holds numbers beyond a million, which make no sense: create the file again.")
    return array


def numeric_array(value: Any, path: Path, name: str, *shape: int | None) -> np.ndarray:
    """A float64 array of the given shape; None stands for any length.

    Extra axes of length one are removed. Otherwise as `finite_array`, with a UserError for another shape too.
    """
    array = _squeezed(finite_array(value, path, name), shape)
    if array is None:
        expected = " x ".join("any" if n is None else str(n) for n in shape) or "one number"
        raise UserError(f"{path}: {name} must hold numbers of shape {expected}: create the file again.")
    return array


def _squeezed(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """The array without the axes of length one that `shape` does not have, or None if it still does not fit."""
    axis = 0
    while array.ndim > len(shape) and axis < array.ndim:
        if array.shape[axis] == 1 and (axis >= len(shape) or shape[axis] != 1):
            array = array.squeeze(axis)
        else:
            axis += 1
    fits = array.ndim == len(shape) and all(expected in (None, length) for expected, length in zip(shape, array.shape))
    return array if fits else None
