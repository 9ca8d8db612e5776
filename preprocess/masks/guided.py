"""The guided filter (He, Sun and Tang, "Guided Image Filtering", TPAMI 2013), for colour guides."""

import cv2
import numpy as np
from jaxtyping import Float


def guided_filter(
    guide: Float[np.ndarray, "H W 3"], target: Float[np.ndarray, "H W"], radius: int, epsilon: float
) -> Float[np.ndarray, "H W"]:
    """`target`, redrawn as a locally affine function of the colours of `guide`; float32.

    In every window of side 2 radius + 1 the affine map a, b of least squares with penalty epsilon |a|^2 is found (the
    paper's equations 19 and 20); a pixel takes the mean of the maps of the windows that hold it (21). Pictures are
    mirrored at their borders.
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
    """(guide's windowed covariance + epsilon) \\ right, by the adjugate of the symmetric 3 x 3 matrices."""
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
