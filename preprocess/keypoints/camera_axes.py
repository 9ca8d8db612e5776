"""The axes that metric points are given in: those of a camera that looks straight at the person.

BlazePose sees a crop around the person as if the camera's optical axis passed through the hips. Its metric points
therefore have to be rotated before they agree with the real camera's axes.
"""

import numpy as np
from jaxtyping import Float

from preprocess.skeleton import HIPS


def axes_towards(image: Float[np.ndarray, "F L 2"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "F 3 3"]:
    """The rotation from the axes of a camera that looks straight at the person to the real camera's axes.

    Args:
        image: the L = 33 points in pixels; the midpoint of the hips is where that camera looks.
        K: the real camera's intrinsics (pixels).

    Returns what `axes_at` does.
    """
    return axes_at(image[:, HIPS].mean(1), K)


def axes_at(pixels: Float[np.ndarray, "F 2"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "F 3 3"]:
    """The rotation from the axes of a camera that looks straight at a pixel to the real camera's axes.

    Args:
        pixels: where that camera looks.
        K: the real camera's intrinsics (pixels).

    Returns:
        Matrices whose columns are the x, y and z axis of the camera that looks there. Its x axis stays horizontal in
        the real camera's frame (x right, y down, z forward).
    """
    ray = np.concatenate([pixels, np.ones_like(pixels[:, :1])], 1) @ np.linalg.inv(K).T
    z = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], -1)


def to_camera_axes(
    world: Float[np.ndarray, "F L 3"], image: Float[np.ndarray, "F L 2"], K: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "F L 3"]:
    """Rotates the network's metric points (m, from the midpoint of the hips) into the real camera's axes.

    Args:
        world: points in the axes of a camera that looks straight at the person.
        image: the same points in pixels.
        K: the real camera's intrinsics (pixels).
    """
    return world @ axes_towards(image, K).transpose(0, 2, 1)
