"""Reads a file with the masks of all pictures, as people save what SAM 2 and SAM 3 return.

.npy, .npz    an array of pictures x H x W (truth values, ids, coverage or logits) or pictures x objects x H x W
.npy          a dictionary {picture: mask}, or {picture: {object: mask}} (SAM 2's `video_segments`)
.npz          an array for each picture, named by its number
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npy, load_npz
from hashhuman.io.masks import from_array, ids_of_objects, without_scores
from preprocess.frames.numbering import numbers_in

SUFFIXES = (".npy", ".npz")


class MaskStack:
    """The masks in a file.

    Args:
        path: the file.

    Raises UserError if it is absent or damaged, or holds no masks of several pictures.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content: Any = without_scores(load_npz(path)) if path.suffix.lower() == ".npz" else load_npy(path)
        if isinstance(content, Mapping) and len(content) == 1 and path.suffix.lower() == ".npz":
            [content] = content.values()
        if isinstance(content, Mapping):
            numbers = numbers_in([str(key) for key in content])
            values = list(content.values())
            if numbers:  # SAM 2 goes on to the end first, and then back from where it was prompted
                numbers, values = map(list, zip(*sorted(zip(numbers, values), key=lambda entry: entry[0])))
        else:
            numbers, values = list(range(len(content) if np.ndim(content) else 0)), content
        if not numbers or (isinstance(values, np.ndarray) and values.ndim not in (3, 4)):
            raise UserError(
                f"{path} must hold masks of all pictures: an array of pictures x height x width, or entries named by "
                "the pictures' numbers."
            )
        self.numbers: list[int] = numbers
        """The number of each mask's picture, ascending."""
        self._values = values

    def __getitem__(self, row: int) -> np.ndarray:
        """A mask, as ids or coverage. Raises UserError if it is none."""
        mask = self._values[row]
        if isinstance(mask, Mapping):
            mask = _ids(mask, self.path)
        return from_array(np.asarray(mask), self.path)


def _ids(objects: Mapping[Any, Any], path: Path) -> np.ndarray:
    """A map of ids from 1 on of a mask for each object; the first one has what several claim."""
    masks = [np.squeeze(np.asarray(mask)) for mask in objects.values()]
    if not masks or any(
        mask.ndim != 2 or mask.shape != masks[0].shape or mask.dtype.kind not in "buif" for mask in masks
    ):
        raise UserError(f"{path} must hold masks of height x width for the objects of a picture.")
    return ids_of_objects(np.stack(masks))
