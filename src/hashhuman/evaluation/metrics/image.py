"""PSNR, SSIM and silhouette metrics, as pure functions.

Pictures are H x W x 3 with values in [0, 1], masks are H x W. Everything is computed in float64, because SSIM subtracts
squares of nearly equal size.
"""

import itertools
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

SMALLEST_MSE = 1e-10  # identical pictures score 100 dB, so that a mean over pictures stays finite


def psnr(x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"], data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, at most 100 for a data range of 1."""
    error = (x.double() - y.double()).square().mean() / data_range**2
    return float(-10 * torch.log10(error.clamp_min(SMALLEST_MSE)))


def ssim(
    x: Float[Tensor, "H W C"], y: Float[Tensor, "H W C"], data_range: float = 1.0, gaussian: bool = False
) -> float:
    """Mean structural similarity (Wang et al. 2004, equation 13), as scikit-image computes it.

    The window is uniform, 7 x 7, with sample covariance (scikit-image's default), or Gaussian as in the paper (sigma
    1.5, 11 x 11, population covariance). The mean is over channels and the pixels whose window lies in the picture.

    Args:
        x, y: the pictures.
        data_range: the distance from black to white, which is 1 for these pictures.
        gaussian: whether to use the Gaussian window.

    Raises:
        ValueError: if the picture is smaller than the window.
    """
    if gaussian:
        window, sample = _gaussian_window(1.5, 5), 1.0
    else:
        window, sample = [1 / 7] * 7, 49 / 48
    size = len(window)
    if min(x.shape[:2]) < size:
        raise ValueError(f"SSIM needs pictures of at least {size} x {size} pixels, not {x.shape[0]} x {x.shape[1]}")
    a, b = (image.double().movedim(-1, 0) for image in (x, y))
    moments = _smooth(torch.stack([a, b, a * a, b * b, a * b]), window)
    mean_a, mean_b = moments[:2]
    variance_a = sample * (moments[2] - mean_a**2)
    variance_b = sample * (moments[3] - mean_b**2)
    covariance = sample * (moments[4] - mean_a * mean_b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float((luminance * structure).mean())


def _gaussian_window(sigma: float, radius: int) -> list[float]:
    weights = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(-radius, radius + 1)]
    return [weight / sum(weights) for weight in weights]


def _smooth(maps: Float[Tensor, "*N H W"], window: list[float]) -> Float[Tensor, "*N h w"]:
    """Convolution with a separable square window, at all positions where the window lies in the picture.

    Computed as a sum of shifted maps: torch's convolution in float64 takes thirty times as long on a CPU.
    """
    for axis in (-2, -1):
        length = maps.shape[axis] - len(window) + 1
        shifted = (maps.narrow(axis, shift, length) for shift in range(len(window)))
        total = window[0] * next(shifted)
        for weight, part in zip(window[1:], shifted):
            total.add_(part, alpha=weight)
        maps = total
    return maps


def mask_iou(x: Bool[Tensor, "H W"], y: Bool[Tensor, "H W"]) -> float:
    """Intersection over union; 1 if both masks are empty."""
    union = (x | y).sum()
    return float((x & y).sum() / union) if union else 1.0


def halo(alpha: Float[Tensor, "H W"], mask: Bool[Tensor, "H W"], distance: int = 5) -> float:
    """Mean alpha over the pixels that are more than `distance` pixels away from the mask; 0 if there are none.

    The mask is dilated by shifting it. A convolution would make runs without LPIPS load cuDNN just for this.
    """
    height, width = mask.shape
    around = functional.pad(mask, [distance] * 4)
    near = torch.zeros_like(mask)
    for y, x in itertools.product(range(2 * distance + 1), repeat=2):
        if math.hypot(y - distance, x - distance) <= distance:
            near |= around[y : y + height, x : x + width]
    outside = alpha[~near]
    return float(outside.double().mean()) if len(outside) else 0.0


def bounding_box(mask: Bool[Tensor, "H W"], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the mask's bounding box, enlarged by `margin` pixels on each side within the picture.

    Raises:
        ValueError: if the mask is empty.
    """
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if not len(rows):
        raise ValueError("an empty mask has no bounding box")
    top, bottom = max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1
    left, right = max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1
    return slice(top, min(bottom, mask.shape[0])), slice(left, min(right, mask.shape[1]))
