"""Cameras of other tools in pixels of the subject's pictures.

Tools measure pixels from the picture's corner and put the optical axis through its middle; here pixel centres are
integers. The pictures may have been shrunk, so a focal length is carried over by the ratio of the widths.
"""

import numpy as np
from jaxtyping import Float


def centred(focal: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """A camera that looks through the middle of pictures of width x height; `focal` in their pixels."""
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def rescaled(K: Float[np.ndarray, "3 3"], from_width: float, width: int) -> Float[np.ndarray, "3 3"]:
    """A camera in pixels of pictures `from_width` wide, from their corner, for the same ones `width` wide, as here."""
    scaled = np.diag([width / from_width, width / from_width, 1.0]) @ K
    scaled[:2, 2] -= 0.5
    return scaled


def image_points(K: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 2"]:
    """Pixels of points in the camera's axes (m)."""
    pixels = points @ K.T
    return pixels[:, :2] / pixels[:, 2:].clip(1e-6)
