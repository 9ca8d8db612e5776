"""Dense optical flow of the person, from each picture to one shortly after it.

For a joint, flow adds little to the points of both pictures. For the skin around a bone it adds how the bone rotates,
and hence whether a limb leans towards the camera or away from it, which a single picture cannot show.
"""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.io import threads
from preprocess.body_fit.evidence.window import look_up

AHEAD = 2  # pictures between the two that are compared
GRID = 128  # cells along the side of a window
FINE = 3  # flow is computed on so many pixels along the side of a cell
MARGIN = 0.1  # of the longer side of the person's box, on each side
RETURN = 0.004  # of the window's side: flow is trusted if flow back from its end returns this close to its start

Picture = tuple[np.ndarray, np.ndarray | None]  # an 8-bit grey picture (H x W) and the person's mask


@dataclasses.dataclass(frozen=True)
class Flow:
    """Flow of F pictures, each in a window of S x S cells around the person.

    The last `AHEAD` pictures have none to be compared with, so their flow is not trusted.
    """

    motion: Float[Tensor, "F 3 S S"]
    """Per cell: motion in x and y (pixels of the picture), and trust (0 or 1)."""
    origin: Float[Tensor, "F 2"]
    """Position of the window's first cell in the picture (pixels)."""
    step: Float[Tensor, "F"]
    """Pixels per cell."""

    def at(self, pixels: Float[Tensor, "F M 2"]) -> tuple[Float[Tensor, "F M 2"], Float[Tensor, "F M"]]:
        """Motion (pixels) of points of the pictures until `AHEAD` pictures later, and how far to trust it (0 to 1)."""
        found = look_up(self.motion, self.origin, self.step, pixels, "zeros")
        return found[:, :2].transpose(1, 2), found[:, 2]

    @classmethod
    def untrusted(cls, frames: int) -> "Flow":
        """A placeholder for pictures that were not examined: its trust is 0 everywhere."""
        return cls(*(torch.from_numpy(np.stack([x])).expand(frames, *x.shape) for x in _nothing()))


def observe_flow(greys: Iterable[np.ndarray], masks: list[np.ndarray | None]) -> Flow:
    """Computes flow by dense inverse search (Kroeger et al., ECCV 2016) in a window around the person.

    It is trusted where it leads from the person's mask to the mask of the later picture, and the flow back returns to
    its start.

    Args:
        greys: 8-bit grey pictures (H x W); only a few are held in memory at a time.
        masks: the person's 8-bit masks, None where there is none.
    """

    def pairs() -> Iterator[tuple[Picture, Picture]]:
        waiting: deque[Picture] = deque(maxlen=AHEAD)
        for later in zip(greys, masks):
            if len(waiting) == AHEAD:
                yield waiting[0], later
            waiting.append(later)

    windows = list(threads.ordered(lambda pair: _between(*pair), pairs()))
    windows += [_nothing() for _ in range(len(masks) - len(windows))]
    return Flow(*(torch.from_numpy(np.stack(x)) for x in zip(*windows)))


def _nothing() -> tuple[np.ndarray, np.ndarray, np.float32]:
    """A window in which no flow is trusted."""
    return np.zeros((3, GRID, GRID), np.float32), np.zeros(2, np.float32), np.float32(1)


def _between(first: Picture, second: Picture) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """Motion and trust, origin and step of the first picture's window, as `Flow` holds them."""
    masks = [mask >= 128 for _, mask in (first, second) if mask is not None]
    if len(masks) < 2 or not all(mask.any() for mask in masks):
        return _nothing()
    ys, xs = np.nonzero(masks[0] | masks[1])
    low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()])
    side, size = float((high - low).max() + 1) * (1 + 2 * MARGIN), FINE * GRID
    step, corner = side / size, (low + high) / 2 - side / 2
    affine = np.array([[step, 0, corner[0]], [0, step, corner[1]]])

    def window(image: np.ndarray) -> np.ndarray:
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_AREA if step > 1 else cv2.INTER_LINEAR)
        return cv2.warpAffine(image, affine, (size, size), flags=flags)

    def remapped(image: np.ndarray, at: np.ndarray) -> np.ndarray:
        return cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    a, b = window(first[0]), window(second[0])
    forth, back = finder.calc(a, b, np.empty(0)), finder.calc(b, a, np.empty(0))
    start = np.stack(np.meshgrid(*2 * [np.arange(size, dtype=np.float32)]), -1)
    end = start + forth
    returned = np.linalg.norm(forth + remapped(back, end), axis=-1) < RETURN * size
    person = [window(mask.astype(np.float32)) for mask in masks]
    trust = returned & (person[0] >= 0.5) & (remapped(person[1], end) >= 0.5)
    motion = np.concatenate([forth * step, trust[..., None]], -1)
    middle = slice(FINE // 2, None, FINE)
    cells = np.ascontiguousarray(motion[middle, middle].transpose(2, 0, 1), np.float32)
    return cells, (corner + step * (FINE // 2)).astype(np.float32), np.float32(step * FINE)
