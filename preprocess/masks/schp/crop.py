"""The square crop that the parsing network sees, and the way from its output back to the picture."""

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

# ImageNet's mean and standard deviation of blue, green and red in [0, 1], the order that the network was trained with.
_MEAN = np.array([0.406, 0.456, 0.485], np.float32)
_DEVIATION = np.array([0.225, 0.224, 0.229], np.float32)


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square of a picture, resampled to `pixels` a side.

    Pixel centres are at integers. The centres of the corner pixels coincide with the square's corners.
    """

    center: tuple[float, float]
    """x, y in pixels of the picture."""
    side: float
    """Side of the square, between the centres of the crop's first and last pixel (pixels of the picture)."""
    pixels: int

    @staticmethod
    def around(box: Float[np.ndarray, "4"], pixels: int, margin: float = 0.0) -> "Crop":
        """The smallest square around a box, plus a margin.

        Args:
            box: x and y of its first pixel, x and y of its last pixel.
            pixels: side of the resampled crop.
            margin: fraction of the square's side to add on each side.
        """
        (left, top, right, bottom) = box.tolist()
        side = max(right - left, bottom - top, 1.0) * (1 + 2 * margin)
        return Crop(((left + right) / 2, (top + bottom) / 2), side, pixels)

    def crop_from_image(self) -> Float[np.ndarray, "2 3"]:
        """The affine map from (x, y, 1) in pixels of the picture to x, y in pixels of the crop."""
        scale, middle = (self.pixels - 1) / self.side, (self.pixels - 1) / 2
        x, y = self.center
        return np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])

    def cut(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "P P 3"]:
        """The resampled crop of a picture, black outside the picture."""
        return cv2.warpAffine(image, self.crop_from_image(), (self.pixels, self.pixels), flags=cv2.INTER_LINEAR)

    def classes(
        self, logits: Float[np.ndarray, "N P P"], height: int, width: int
    ) -> UInt8[np.ndarray, "{height} {width}"]:
        """The class with the largest logit at each pixel of the picture; 0 outside the crop.

        Logits are interpolated and fade to zero beyond the crop's border. Of equal logits, the first class wins.

        Args:
            logits: of N classes, at the crop's size.
            height, width: of the picture.
        """
        scale = self.side / (self.pixels - 1)
        first = np.maximum(np.floor(np.array(self.center) - self.side / 2), 0).astype(int)
        last = np.minimum(np.ceil(np.array(self.center) + self.side / 2) + 1, (width, height)).astype(int)
        classes = np.zeros((height, width), np.uint8)
        if (last <= first).any():
            return classes
        (x0, y0), (x1, y1) = first, last
        offset = np.array(self.center) - self.side / 2 - first
        box_from_crop = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])

        def enlarged(plane: np.ndarray) -> np.ndarray:
            return cv2.warpAffine(plane, box_from_crop, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)

        best, found = enlarged(logits[0]), classes[y0:y1, x0:x1]
        for k, plane in enumerate(logits[1:], 1):
            candidate = enlarged(plane)
            found[candidate > best] = k
            best = np.maximum(best, candidate)
        return classes


def to_tensor(crop: UInt8[np.ndarray, "P P 3"]) -> Float[Tensor, "1 3 P P"]:
    """The network's input from a crop in RGB: normalised, in the order blue, green, red."""
    normalised = (crop[..., ::-1].astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())
