"""The guided filter with a colour guide (He, Sun and Tang, "Guided Image Filtering", TPAMI 2013)."""

import cv2
import numpy as np
from jaxtyping import Float


def guided_filter(
    guide: Float[np.ndarray, "H W 3"], target: Float[np.ndarray, "H W"], radius: int, epsilon: float
) -> Float[np.ndarray, "H W"]:
    """Approximates `target` by a locally affine function of the colours of `guide`; float32.

    In every window, the affine map (a, b) with the least squared error and penalty epsilon |a|^2 is found (equations 19
    and 20 of the paper). A pixel takes the mean of the maps of all windows that contain it (equation 21). Pictures are
    mirrored at their borders.

    Args:
        guide: colours in [0, 1].
        target: what to filter.
        radius: a window has the side 2 radius + 1 (pixels).
        epsilon: in units of squared colour.
    """
    guide, target = guide.astype(np.float32), target.astype(np.float32)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1))

    center, target_mean = mean(guide), mean(target)
    covariance = mean(guide * target[..., None]) - center * target_mean[..., None]
    a = _solve(mean, guide, center, covariance, epsilon)
    b = target_mean - np.einsum("hwc,hwc->hw", a, center)
    return np.einsum("hwc,hwc->hw", mean(a), guide) + mean(b)


def _solve(mean, guide: np.ndarray, center: np.ndarray, right: np.ndarray, epsilon: float) -> np.ndarray:
    """Solves (covariance of the guide in each window + epsilon) x = right, with the adjugates of the 3 x 3 matrices."""
    squares = mean(guide * guide) - center * center + epsilon
    xx, yy, zz = cv2.split(squares)
    crossed = mean(guide * np.roll(guide, -1, -1)) - center * np.roll(center, -1, -1)
    xy, yz, zx = cv2.split(crossed)
    axx, ayy, azz = yy * zz - yz * yz, zz * xx - zx * zx, xx * yy - xy * xy
    axy, ayz, azx = yz * zx - xy * zz, zx * xy - yz * xx, xy * yz - zx * yy
    determinant = xx * axx + xy * axy + zx * azx
    x, y, z = cv2.split(right)
    solved = axx * x + axy * y + azx * z, axy * x + ayy * y + ayz * z, azx * x + ayz * y + azz * z
    return cv2.merge(solved) / determinant[..., None]
