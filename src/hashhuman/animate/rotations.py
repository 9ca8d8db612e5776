"""Rotations between directions."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation


def smallest_rotation(a: Float[np.ndarray, "*F 3"], b: Float[np.ndarray, "*F 3"]) -> Rotation:
    """The rotations by the smallest angle that turn directions `a` into directions `b`, of any length above 0.

    Of opposite directions, which any axis at right angles turns into each other, one of these is taken.
    """
    a, b = (direction / np.linalg.norm(direction, axis=-1, keepdims=True) for direction in (a, b))
    axis, cosine = np.cross(a, b), (a * b).sum(-1, keepdims=True)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    across = np.cross(a, np.eye(3)[np.abs(a).argmin(-1)])
    axis = np.where((sine < 1e-9) & (cosine < 0), across, axis)
    length = np.linalg.norm(axis, axis=-1, keepdims=True).clip(1e-12)
    return Rotation.from_rotvec(axis / length * np.arctan2(sine, cosine))
