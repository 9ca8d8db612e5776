"""What the keypoints stage saw, made fit for fitting: left and right sorted out, gaps filled."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from preprocess.keypoints.camera_axes import to_camera_axes
from preprocess.keypoints.points import Keypoints
from preprocess.skeleton import HIPS, MIRRORED, NAMES, SHOULDERS

TRACKED = [
    i for i, n in enumerate(NAMES) if n.rpartition("_")[2] in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
SWAP_COST = 0.05  # of calling a frame swapped, in squared body units
JUMP = 3.0  # the most that one frame's jump can cost: a cut in the video is not a flip


@dataclasses.dataclass(frozen=True)
class Observations:
    """F pictures, L = 33 points; nothing is missing any more."""

    image: Float[np.ndarray, "F L 2"]  # pixels
    world: Float[np.ndarray, "F L 3"]  # metres about the hips, camera orientation
    visibility: Float[np.ndarray, "F L"]  # zero where a point was filled in
    has_world: Bool[np.ndarray, "F"]
    interpolated: Bool[np.ndarray, "F"]
    flipped: Bool[np.ndarray, "F"]


def observe(keypoints: Keypoints, K: Float[np.ndarray, "3 3"]) -> Observations:
    """Repairs flips, turns 3D points to the camera's axes and fills pictures without a detection by interpolation."""
    detected = keypoints.detected & np.isfinite(keypoints.image_points).all((1, 2))
    has_world = detected & np.isfinite(keypoints.world_points).all((1, 2))
    image = keypoints.image_points.astype(np.float64)
    world = np.where(has_world[:, None, None], keypoints.world_points, flat_world(image))
    flipped = find_flips(fill(image, detected), fill(world, detected)) & detected
    image[flipped], world[flipped] = mirror(image[flipped], world[flipped])
    visibility = keypoints.visibility * detected[:, None]
    visibility[flipped] = visibility[flipped][:, MIRRORED]
    world = to_camera_axes(world, image, K)
    return Observations(
        image=fill(image, detected),
        world=fill(world, detected),
        visibility=visibility.astype(np.float64),
        has_world=has_world,
        interpolated=~detected,
        flipped=flipped,
    )


def flat_world(image: Float[np.ndarray, "F L 2"]) -> Float[np.ndarray, "F L 3"]:
    """Stand-ins for 3D points where a detector gives none: the picture's, scaled to a body, all at one depth."""
    hips, shoulders = image[:, HIPS].mean(1), image[:, SHOULDERS].mean(1)
    torso = np.linalg.norm(shoulders - hips, axis=1).clip(1e-3)
    flat = (image - hips[:, None]) * (0.5 / torso)[:, None, None]
    return np.concatenate([flat, np.zeros_like(flat[..., :1])], -1)


def mirror(
    image: Float[np.ndarray, "F L 2"], world: Float[np.ndarray, "F L 3"]
) -> tuple[Float[np.ndarray, "F L 2"], Float[np.ndarray, "F L 3"]]:
    """What a detector should have said if it took a back for a front: sides swapped, and depth reversed."""
    return image[:, MIRRORED], world[:, MIRRORED] * [1, 1, -1]


def find_flips(image: Float[np.ndarray, "F L 2"], world: Float[np.ndarray, "F L 3"]) -> Bool[np.ndarray, "F"]:
    """Which frames have left and right swapped: the choice that makes points accelerate least.

    A second-order Viterbi search: its states are the choices for two successive frames.
    """
    frames = len(image)
    if frames < 3:
        return np.zeros(frames, bool)
    hips = image[:, HIPS].mean(1, keepdims=True)
    size = np.median(np.ptp(image[:, TRACKED, 1], axis=1).clip(1)) / 1.4  # pixels a metre
    states = []
    for points, space in ((image, world), mirror(image, world)):
        flat, deep = (points - hips)[:, TRACKED] / size, space[:, TRACKED]
        states.append(np.concatenate([flat, deep], -1).reshape(frames, -1))
    x = np.stack(states, 1)  # F, 2, features

    def cost(residual: np.ndarray) -> np.ndarray:
        return np.minimum(np.square(residual).sum(-1), JUMP)

    unary = np.array([0.0, SWAP_COST])
    # best[a, b]: least cost with the last two frames in states a, b
    best = unary[:, None] + unary + cost(x[1][None] - x[0][:, None])
    back = []
    for t in range(2, frames):
        step = x[t][None, None] - 2 * x[t - 1][None, :, None] + x[t - 2][:, None, None]
        total = best[..., None] + cost(step) + 0.3 * cost(x[t][None, None] - x[t - 1][None, :, None]) + unary
        back.append(total.argmin(0))
        best = total.min(0)
    a, b = np.unravel_index(best.argmin(), best.shape)
    path = [b, a]
    for choice in reversed(back):
        path.append(choice[path[-1], path[-2]])
    return np.array(path[::-1], bool)


def fill(x: Float[np.ndarray, "F *rest"], known: Bool[np.ndarray, "F"]) -> Float[np.ndarray, "F *rest"]:
    """Linear interpolation over the unknown frames; beyond the first and last known, their values."""
    at = np.flatnonzero(known)
    flat = x.reshape(len(x), -1)
    filled = np.stack([np.interp(np.arange(len(x)), at, column[at]) for column in flat.T], -1)
    return filled.reshape(x.shape)
