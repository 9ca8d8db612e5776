"""The pattern of the person's skin and clothes: a point of the surface shows the same pattern in every picture.

Optical flow links a picture only to one shortly after it, so its errors add up along the clip. Patterns link all
pictures in which a point is visible. The light on a point changes while the person turns, so patterns are compared as
local contrast, from which slow changes over the surface are removed.
"""

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from preprocess.body_fit.evidence.window import look_up

CELLS = 160  # along the side of a window
MARGIN = 0.1  # of the longer side of the person's box, on each side
BLURS = (1.0, 2.5)  # cells: deviations of the compared patterns; the wider one attracts from farther away
SURROUND = 8.0  # cells: deviation of the surroundings that contrast is measured against
LEAST = 0.03  # of full scale: added to the local contrast before dividing by it, so that noise is not amplified


Window = tuple[np.ndarray, np.ndarray, np.float32]  # one frame's contrast, origin and step, as `Texture` holds them


@dataclasses.dataclass(frozen=True)
class Texture:
    """Patterns of F pictures, each in a window of S x S cells around the person."""

    contrast: Float[Tensor, "F C S S"]
    """Per cell: C - 1 features, of about one where there is a pattern, and trust (0 or 1)."""
    origin: Float[Tensor, "F 2"]
    """Position of the window's first cell in the picture (pixels)."""
    step: Float[Tensor, "F"]
    """Pixels per cell."""

    def at(self, pixels: Float[Tensor, "F M 2"]) -> tuple[Float[Tensor, "F M C_1"], Float[Tensor, "F M"]]:
        """Features at points of the pictures (differentiable in the points), and how far to trust them (0 to 1)."""
        found = look_up(self.contrast, self.origin, self.step, pixels, "zeros")
        return found[:, :-1].transpose(1, 2), found[:, -1]

    @classmethod
    def of(cls, windows: Iterable[Window]) -> "Texture":
        """Stacks the windows of all frames, given in order."""
        return cls(*(torch.from_numpy(np.stack(x)) for x in zip(*windows)))

    @classmethod
    def untrusted(cls, frames: int) -> "Texture":
        """A placeholder for pictures that were not examined: its trust is 0 everywhere."""
        return cls(*(torch.from_numpy(np.stack([x])).expand(frames, *x.shape) for x in _untrusted_window()))


def _untrusted_window() -> Window:
    return np.zeros((1 + 3 * len(BLURS), CELLS, CELLS), np.float32), np.zeros(2, np.float32), np.float32(1)


def texture_window(image: np.ndarray, mask: np.ndarray | None) -> Window:
    """One frame's window, from its 8-bit RGB picture (H x W x 3) and mask (H x W); no mask: nothing is trusted."""
    person = None if mask is None else mask >= 128
    if person is None or not person.any():
        return _untrusted_window()
    ys, xs = np.nonzero(person)
    low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()])
    side = float((high - low).max() + 1) * (1 + 2 * MARGIN)
    step, corner = side / CELLS, (low + high) / 2 - side / 2
    affine = np.array([[step, 0, corner[0]], [0, step, corner[1]]])
    smooth = cv2.GaussianBlur(image, (0, 0), 0.5 * step) if step > 1 else image
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    color = cv2.warpAffine(smooth, affine, (CELLS, CELLS), flags=flags).astype(np.float32) / 255
    inside = cv2.warpAffine(person.astype(np.float32), affine, (CELLS, CELLS), flags=flags)
    inside = cv2.erode((inside > 0.5).astype(np.float32), np.ones((3, 3)))

    def mean(values: np.ndarray, deviation: float) -> np.ndarray:
        """Gaussian mean over the person's cells alone; the deviation is in cells."""
        weight = cv2.GaussianBlur(inside, (0, 0), deviation)
        total = cv2.GaussianBlur(values * (inside[..., None] if values.ndim == 3 else inside), (0, 0), deviation)
        return total / np.maximum(weight[..., None] if values.ndim == 3 else weight, 1e-3)

    around = mean(color, SURROUND)
    spread = np.sqrt(mean(np.square(color - around).sum(-1), SURROUND)) + LEAST
    features = [(mean(color, blur) - around) / spread[..., None] for blur in BLURS]
    stacked = np.concatenate([*features, inside[..., None]], -1).transpose(2, 0, 1)
    return np.ascontiguousarray(stacked, np.float32), corner.astype(np.float32), np.float32(step)
