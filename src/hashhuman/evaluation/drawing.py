"""Draws captions, error maps with their colour scale, and sheets of pictures, on 8-bit RGB arrays (H, W, 3)."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hashhuman.evaluation.metrics.image import bounding_box

PAPER, INK, WARNING = (255, 255, 255), (30, 30, 30), (200, 30, 30)
FONT, LINE_HEIGHT = cv2.FONT_HERSHEY_SIMPLEX, 18
ERROR_TOP = 0.25  # the error at the top of the colour scale: a quarter of the way from black to white


def to_uint8(image: Tensor) -> np.ndarray:
    """Converts a float picture in [0, 1], (H, W, 3) or (H, W), to 8 bits, with rounding."""
    return (image.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def caption(image: np.ndarray, *lines: str, color: tuple[int, int, int] = INK) -> np.ndarray:
    """Adds a white strip with lines of text above a picture. Text that is too wide is made smaller."""
    strip = np.full((LINE_HEIGHT * len(lines) + 4, image.shape[1], 3), PAPER, np.uint8)
    for i, line in enumerate(lines):
        scale = 0.45
        while scale > 0.15 and cv2.getTextSize(line, FONT, scale, 1)[0][0] > image.shape[1] - 6:
            scale -= 0.02
        cv2.putText(strip, line, (3, LINE_HEIGHT * (i + 1) - 4), FONT, scale, color, 1, cv2.LINE_AA)
    return np.concatenate([strip, image])


def even(image: np.ndarray) -> np.ndarray:
    """Repeats the last row or column of a picture of odd size, since H.264 needs even sizes."""
    return np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")


def enlarged(image: np.ndarray, height: int) -> np.ndarray:
    """Enlarges a picture to about `height` rows by repeating pixels an integer number of times. Never shrinks it."""
    factor = max(round(height / image.shape[0]), 1)
    return np.repeat(np.repeat(image, factor, 0), factor, 1)


def error_map(image: np.ndarray, truth: np.ndarray, top: float = ERROR_TOP) -> np.ndarray:
    """Mean absolute error over channels as colours, from black at 0 to bright yellow at `top` (1: the full range)."""
    error = np.abs(image.astype(np.float32) - truth.astype(np.float32)).mean(-1) / 255
    return _colored(np.minimum(error / top, 1))


def color_bar(height: int, top: float = ERROR_TOP) -> np.ndarray:
    """The colour scale of `error_map`, `height` pixels high, with labels at its ends and its middle."""
    bar = _colored(np.repeat(np.linspace(1, 0, height, dtype=np.float32)[:, None], 14, 1))
    labels = np.full((height, 42, 3), PAPER, np.uint8)
    for share in (0.0, 0.5, 1.0):
        y = int(np.clip((1 - share) * (height - 1) + 4, 10, height - 3))
        cv2.putText(labels, f"{share * top:.3g}", (3, y), FONT, 0.36, INK, 1, cv2.LINE_AA)
    return np.concatenate([bar, labels], 1)


def side_by_side(
    rgb: Float[Tensor, "H W 3"],
    truth: Float[Tensor, "H W 3"],
    covered: Bool[Tensor, "H W"],
    title: str,
    height: int = 384,
) -> np.ndarray:
    """Draws truth, render and error map with its colour scale side by side.

    Args:
        rgb: the rendered picture, in [0, 1].
        truth: the true picture, in [0, 1].
        covered: the pixels around which the pictures are cropped.
        title: caption of the whole drawing.
        height: approximate height of the crops, which are enlarged to it (pixels).
    """
    box = bounding_box(covered)
    longest = max(side.stop - side.start for side in box)
    box = bounding_box(covered, margin=10 + longest // 20)
    image, true = enlarged(to_uint8(rgb[box]), height), enlarged(to_uint8(truth[box]), height)
    gap = np.full((len(image), 4, 3), PAPER, np.uint8)
    error = np.concatenate([error_map(image, true), gap, color_bar(len(image))], 1)
    panels = [caption(true, "truth"), caption(image, "render"), caption(error, "mean absolute error")]
    return caption(sheet(panels, columns=3), title)


def sheet(images: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Arranges pictures in rows of `columns`. Each row is as high, and each column as wide, as its largest picture."""
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    widths = [max(image.shape[1] for image in images[c::columns]) for c in range(min(columns, len(images)))]
    page = []
    for row in rows:
        height = max(image.shape[0] for image in row)
        cells = [_padded(image, height + gap, width + gap) for image, width in zip(row, widths)]
        cells += [_padded(row[0][:0], height + gap, width + gap) for width in widths[len(row) :]]
        page.append(np.concatenate(cells, 1))
    return np.concatenate(page)


def _padded(image: np.ndarray, height: int, width: int) -> np.ndarray:
    cell = np.full((height, width, 3), PAPER, np.uint8)
    cell[: image.shape[0], : image.shape[1]] = image[:, :width]
    return cell


def _colored(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as colours of the colour map `inferno`."""
    return cv2.cvtColor(
        cv2.applyColorMap((values * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
