"""How the picture moves about the person: dense optical flow from each picture to one soon after it.

Of a joint it says what the points of both pictures say. But skin beside a bone shows how the bone turns, and so which
way a limb leans along the view, which no single picture tells.
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

AHEAD = 2  # pictures from one to that which it is compared with
GRID = 128  # cells along a window's side
FINE = 3  # pixels along a cell's side when flow is computed
MARGIN = 0.1  # of the person's box, on each side
RETURN = 0.004  # of the window's side: flow there and back that ends further from its start is not believed

Seen = tuple[np.ndarray, np.ndarray | None]  # a grey picture and its mask


@dataclasses.dataclass(frozen=True)
class Flow:
    """F pictures; the last `AHEAD` have nothing to be compared with, and no trust."""

    moved: Float[Tensor, "F 3 S S"]  # pixels of the picture in x and y, and trust (0 or 1), in the picture's window
    origin: Float[Tensor, "F 2"]  # pixels: the window's first cell
    step: Float[Tensor, "F"]  # pixels a cell

    def at(self, pixels: Float[Tensor, "F M 2"]) -> tuple[Float[Tensor, "F M 2"], Float[Tensor, "F M"]]:
        """How far points of the pictures move until `AHEAD` pictures later, and how far to trust that."""
        found = look_up(self.moved, self.origin, self.step, pixels, "zeros")
        return found[:, :2].transpose(1, 2), found[:, 2]

    @classmethod
    def untrusted(cls, frames: int) -> "Flow":
        """That of pictures which nobody looked at."""
        return cls(*(torch.from_numpy(np.stack([x])).expand(frames, *x.shape) for x in _nothing()))


def observe_flow(greys: Iterable[np.ndarray], masks: list[np.ndarray | None]) -> Flow:
    """From 8-bit grey pictures (H x W), of which few are held at a time, and the person's 8-bit masks.

    By dense inverse search (Kroeger et al., ECCV 2016), in a window about the person. It is trusted where it leads from
    the mask to the mask, and the flow back leads to where it came from.
    """

    def pairs() -> Iterator[tuple[Seen, Seen]]:
        waiting: deque[Seen] = deque(maxlen=AHEAD)
        for later in zip(greys, masks):
            if len(waiting) == AHEAD:
                yield waiting[0], later
            waiting.append(later)

    windows = list(threads.ordered(lambda pair: _between(*pair), pairs()))
    windows += [_nothing() for _ in range(len(masks) - len(windows))]
    return Flow(*(torch.from_numpy(np.stack(x)) for x in zip(*windows)))


def _nothing() -> tuple[np.ndarray, np.ndarray, np.float32]:
    return np.zeros((3, GRID, GRID), np.float32), np.zeros(2, np.float32), np.float32(1)


def _between(first: Seen, second: Seen) -> tuple[np.ndarray, np.ndarray, np.float32]:
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
    moved = np.concatenate([forth * step, trust[..., None]], -1)
    middle = slice(FINE // 2, None, FINE)
    cells = np.ascontiguousarray(moved[middle, middle].transpose(2, 0, 1), np.float32)
    return cells, (corner + step * (FINE // 2)).astype(np.float32), np.float32(step * FINE)
