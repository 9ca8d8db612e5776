"""Matting with a known plate: how much of each pixel along the outline the person covers.

A pixel shows alpha F + (1 - alpha) B. B is the plate. Three guesses at F, the person's own colour, come from inside the
mask; each gives an alpha: the position of the pixel's colour between B and F (the least-squares solution of the
equation). None of them is right by itself: shading darkens a body towards its outline, video blurs colours across it,
and where F resembles B, alpha is noise. A small network looks at the guesses in a window, with their residuals, the
mask and the contrast, and estimates the coverage. `benchmarks/matting.py` has learned it from ground-truth videos.
"""

import functools
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hashhuman.io.files import load_npz
from preprocess.masks.plate import Plate

WEIGHTS = Path(__file__).with_name("matting.npz")
"""The network that `benchmarks/matting.py` wrote."""
BAND = 4  # pixels on both sides of the mask's edge in which coverage is estimated anew
WINDOW = 7  # pixels: side of the window that the network sees
_RINGS = 1, 2  # pixels inside the edge where F is taken from the nearest pixel
_AROUND = 6  # pixels: F is also the mean inside a window of this radius
_FLOOR = 3.0  # 8-bit levels of noise that any video has
# Axes of colour: brightness, and two of colour at half weight, since video keeps colour at half resolution.
_AXES = np.array([[0.508, 0.998, 0.194], [-0.118, -0.232, 0.35], [0.35, -0.293, -0.057]], np.float32)


def outline_length(coverage: Float[np.ndarray, "H W"]) -> int:
    """The length of an outline: the number of neighbouring pixels of which one is at least half covered.

    `benchmarks/outlines.py` says how much longer mattes make it.
    """
    inside = coverage > 0.5
    return int((inside[:, 1:] != inside[:, :-1]).sum() + (inside[1:] != inside[:-1]).sum())


def lengthening(image: UInt8[np.ndarray, "H W 3"], mask: Float[np.ndarray, "H W"], plate: Plate) -> float:
    """How many times as long as the mask's outline that of its matte is; arguments as for `matte`."""
    return outline_length(matte(image, mask, plate)) / max(1, outline_length(mask))


def matte(image: UInt8[np.ndarray, "H W 3"], mask: Float[np.ndarray, "H W"], plate: Plate) -> Float[np.ndarray, "H W"]:
    """The person's coverage of each pixel in [0, 1], float32.

    Within `BAND` pixels of the mask's edge it is estimated anew; farther away it is 0 or 1, as the mask says. Where the
    plate is unknown, and if the mask is empty, the mask is returned.

    Args:
        image: RGB.
        mask: the coverage as far as it is known.
        plate: what is behind the person.
    """
    where = band(mask)
    if not where.any():
        return mask.astype(np.float32)
    rows, columns = np.nonzero(where)
    margin = WINDOW + _AROUND + max(_RINGS)
    box = tuple(slice(max(0, at.min() - margin), at.max() + margin + 1) for at in (rows, columns))
    cut = Plate(plate.colour[box], plate.known[box], plate.noise[box])
    maps = evidence(image[box], mask[box], cut)
    pixels = np.stack([rows - box[0].start, columns - box[1].start], 1)
    covered = (mask > 0.5).astype(np.float32)
    covered[rows, columns] = _network()(windows(maps, pixels))
    return np.where(plate.known, covered, mask).astype(np.float32)


def band(mask: Float[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pixels within `BAND` of the edge of a mask at half coverage."""
    solid, kernel = (mask > 0.5).astype(np.uint8), _disc(BAND)
    return (cv2.dilate(solid, kernel) > 0) & ~(cv2.erode(solid, kernel) > 0)


def evidence(
    image: UInt8[np.ndarray, "H W 3"], mask: Float[np.ndarray, "H W"], plate: Plate
) -> Float[np.ndarray, "H W M"]:
    """What the network sees of each pixel; float32.

    For each guess at F: alpha in [-0.3, 1.5], and the distance of the pixel's colour from the line between B and F.
    Then the mask, the distance from B, and whether B is known; the last map is the contrast of F and B. Where B is
    unknown, alphas are the mask, and distances and contrast 0.
    """
    picture, solid = image.astype(np.float32), (mask > 0.5).astype(np.uint8)
    behind = plate.colour.astype(np.float32) @ _AXES.T
    offset = picture @ _AXES.T - behind
    inside = [cv2.erode(solid, _disc(ring)) > 0 for ring in _RINGS]
    guesses = [nearest_colour(picture, region) for region in inside]
    guesses.append(mean_colour(picture, inside[-1], _AROUND))
    maps = []
    contrast = np.zeros(mask.shape, np.float32)
    for colour in guesses:
        towards = colour @ _AXES.T - behind
        square = np.einsum("hwc,hwc->hw", towards, towards)
        alpha = np.einsum("hwc,hwc->hw", offset, towards) / (square + plate.noise**2 + _FLOOR**2)
        beside = np.linalg.norm(offset - alpha[..., None].clip(0, 1) * towards, axis=-1) / 50
        maps += [np.where(plate.known, alpha.clip(-0.3, 1.5), mask), np.where(plate.known, beside.clip(0, 3), 0)]
        contrast = np.sqrt(square) / 100
    distance = (np.linalg.norm(offset, axis=-1) / 50).clip(0, 4)
    maps += [mask, np.where(plate.known, distance, 0), plate.known, np.where(plate.known, contrast, 0)]
    return np.stack(maps, -1).astype(np.float32)


def windows(maps: Float[np.ndarray, "H W M"], pixels: Int[np.ndarray, "N 2"]) -> Float[np.ndarray, "N D"]:
    """The network's input for pixels (row, column): all maps but the last in a window, and the last at the pixel."""
    radius = WINDOW // 2
    padded = np.pad(maps[..., :-1], ((radius, radius), (radius, radius), (0, 0)))
    rows, columns = pixels.T
    seen = [padded[rows + y, columns + x] for y in range(WINDOW) for x in range(WINDOW)]
    return np.concatenate([*seen, maps[rows, columns, -1:]], 1)


def mean_colour(
    picture: Float[np.ndarray, "H W 3"], region: Bool[np.ndarray, "H W"], radius: int
) -> Float[np.ndarray, "H W 3"]:
    """The mean colour of the pixels of a region in a square window; 0 where there are none."""
    size, inside = (2 * radius + 1, 2 * radius + 1), region.astype(np.float32)
    share = cv2.blur(inside, size)[..., None]
    return np.where(share > 1e-4, cv2.blur(picture * inside[..., None], size) / np.maximum(share, 1e-4), 0)


def nearest_colour(picture: Float[np.ndarray, "H W 3"], region: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """The colour at the nearest pixel of a region, averaged over that pixel's neighbours in the region; 0 if empty."""
    if not region.any():
        return np.zeros_like(picture)
    smooth = mean_colour(picture, region, 1)
    _, nearest = cv2.distanceTransformWithLabels(
        (~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.asarray(nearest, np.int32)
    colours = np.zeros((labels.max() + 1, 3), np.float32)
    colours[labels[region]] = smooth[region]
    return colours[labels]


class MattingNetwork:
    """A fully connected network with ReLU between its layers.

    Args:
        arrays: `mean` and `scale` of the inputs, and `weightN` (out x in) and `biasN` of each layer.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        self.layers = sum(name.startswith("weight") for name in arrays)

    def __call__(self, inputs: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N"]:
        """The coverage of each pixel, in [0, 1]."""
        hidden = (inputs - self.arrays["mean"]) / self.arrays["scale"]
        for layer in range(self.layers):
            hidden = hidden if layer == 0 else np.maximum(hidden, 0)
            hidden = hidden @ self.arrays[f"weight{layer}"].T + self.arrays[f"bias{layer}"]
        return hidden[:, 0].clip(0, 1)


@functools.cache
def _network() -> MattingNetwork:
    return MattingNetwork(load_npz(WEIGHTS))


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
