"""Converts cameras of other tools to the pixels of the subject's pictures.

Other tools measure pixels from the corner of the picture, and assume that the optical axis passes through its middle.
Here pixel centres are at integers. The subject's pictures may be smaller than the video's, so intrinsics are scaled by
the ratio of the widths.
"""

import numpy as np
from jaxtyping import Float


def centred(focal: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of a camera whose optical axis passes through the middle of the picture; all in pixels."""
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def rescaled(K: Float[np.ndarray, "3 3"], from_width: float, width: int) -> Float[np.ndarray, "3 3"]:
    """Converts intrinsics in pixels from the corner of pictures `from_width` wide to ours of pictures `width` wide."""
    scaled = np.diag([width / from_width, width / from_width, 1.0]) @ K
    scaled[:2, 2] -= 0.5
    return scaled


def image_points(K: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 2"]:
    """Projects points (m, camera axes) to pixels."""
    pixels = points @ K.T
    return pixels[:, :2] / pixels[:, 2:].clip(1e-6)
