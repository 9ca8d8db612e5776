"""Numbers out of files that others wrote: nothing but finite ones, of the right shape, or a sentence saying why not."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashhuman.errors import UserError

LARGEST = 1e6  # no angle, metre or pixel is more


def finite(value: Any, path: Path, name: str) -> np.ndarray:
    """`value`, a number, list, array or tensor, as a float64 array. Raises UserError if it holds anything else."""
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        if array.dtype.kind not in "fiu":
            raise TypeError
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RuntimeError):  # ragged lists, objects that are no numbers
        raise UserError(f"{path}: {name} must hold numbers and nothing else; make the file anew.") from None
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} holds numbers that are not finite; make the file anew.")
    if np.abs(array).max(initial=0) > LARGEST:
        raise UserError(f"{path}: {name} holds numbers beyond a million, which mean nothing here; make the file anew.")
    return array


def numbers(value: Any, path: Path, name: str, *shape: int | None) -> np.ndarray:
    """The same of the given shape (None: any length), axes of length one aside. Raises UserError for another shape."""
    array = _squeezed(finite(value, path, name), shape)
    if array is None:
        expected = " x ".join("any" if n is None else str(n) for n in shape) or "one number"
        raise UserError(f"{path}: {name} must hold numbers of shape {expected}; make the file anew.")
    return array


def _squeezed(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """The array with as many axes as `shape`, those of length one that it does not have left out; None: no fit."""
    axis = 0
    while array.ndim > len(shape) and axis < array.ndim:
        if array.shape[axis] == 1 and (axis >= len(shape) or shape[axis] != 1):
            array = array.squeeze(axis)
        else:
            axis += 1
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape))
    return array if fits else None
