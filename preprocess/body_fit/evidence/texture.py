"""What the person's surface looks like: a point of it shows the same pattern wherever it is seen.

Optical flow ties each picture to one soon after it, and errors add up on the way; patterns tie all pictures in which a
point is seen. As light changes them while the person turns, they are compared as local contrast, in which slow changes
over the surface are left out.
"""

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from preprocess.body_fit.evidence.window import look_up

CELLS = 160  # along a window's side
MARGIN = 0.1  # of the person's box, on each side
BLURS = (1.0, 2.5)  # cells: of the patterns that are compared, the wider one to be found from farther away
SURROUND = 8.0  # cells: what a pattern is the contrast to
LEAST = 0.03  # of full scale: contrast that counts as one at the least, so that noise does not


Window = tuple[np.ndarray, np.ndarray, np.float32]  # what `Texture` holds of a frame


@dataclasses.dataclass(frozen=True)
class Texture:
    """F pictures."""

    contrast: Float[Tensor, "F C S S"]  # C - 1 features, about one where there is a pattern, and trust, in a window
    origin: Float[Tensor, "F 2"]  # pixels: the window's first cell
    step: Float[Tensor, "F"]  # pixels a cell

    def at(self, pixels: Float[Tensor, "F M 2"]) -> tuple[Float[Tensor, "F M C_1"], Float[Tensor, "F M"]]:
        """Features at points of the pictures, differentiable in these, and how far to trust them."""
        found = look_up(self.contrast, self.origin, self.step, pixels, "zeros")
        return found[:, :-1].transpose(1, 2), found[:, -1]

    @classmethod
    def of(cls, windows: Iterable[Window]) -> "Texture":
        """All frames' windows, in their order."""
        return cls(*(torch.from_numpy(np.stack(x)) for x in zip(*windows)))

    @classmethod
    def untrusted(cls, frames: int) -> "Texture":
        """That of pictures which nobody looked at."""
        return cls(*(torch.from_numpy(np.stack([x])).expand(frames, *x.shape) for x in nowhere()))


def nowhere() -> Window:
    """A frame's in which nothing is trusted."""
    return np.zeros((1 + 3 * len(BLURS), CELLS, CELLS), np.float32), np.zeros(2, np.float32), np.float32(1)


def texture_window(image: np.ndarray, mask: np.ndarray | None) -> Window:
    """One frame's, from its 8-bit RGB picture (H x W x 3) and mask; without a mask nothing is trusted."""
    person = None if mask is None else mask >= 128
    if person is None or not person.any():
        return nowhere()
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
        """Over the person alone, weighted by a Gaussian (cells)."""
        weight = cv2.GaussianBlur(inside, (0, 0), deviation)
        total = cv2.GaussianBlur(values * (inside[..., None] if values.ndim == 3 else inside), (0, 0), deviation)
        return total / np.maximum(weight[..., None] if values.ndim == 3 else weight, 1e-3)

    around = mean(color, SURROUND)
    spread = np.sqrt(mean(np.square(color - around).sum(-1), SURROUND)) + LEAST
    features = [(mean(color, blur) - around) / spread[..., None] for blur in BLURS]
    stacked = np.concatenate([*features, inside[..., None]], -1).transpose(2, 0, 1)
    return np.ascontiguousarray(stacked, np.float32), corner.astype(np.float32), np.float32(step)
