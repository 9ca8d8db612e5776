"""Repairs the keypoints for the fit: exchanges left and right where they were confused, and fills gaps."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from preprocess.keypoints.camera_axes import to_camera_axes
from preprocess.keypoints.points import Keypoints
from preprocess.skeleton import HIPS, MIRRORED, NAMES, SHOULDERS

TRACKED = [
    i for i, n in enumerate(NAMES) if n.rpartition("_")[2] in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
SWAP_COST = 0.05  # cost of calling a frame swapped (squared metres, like the accelerations)
FACE = [i for i, n in enumerate(NAMES) if n.partition("_")[0] in ("nose", "mouth") or "_eye" in n]
EARS = [i for i, n in enumerate(NAMES) if n.endswith("_ear")]
# Trust in the points of the head. They share most of their errors, so that eleven of them are worth about four.
HEAD_TRUST = 0.35
BEHIND = {"face": 0.03, "ears": 0.5}  # share of it that is left where the person faces away
TURNED = 0.2  # cosine of the angle between the person's front and the camera over which it falls
JUMP = 3.0  # the most that one frame can cost, so that a cut in the video is not taken for a swap


@dataclasses.dataclass(frozen=True)
class Observations:
    """The L = 33 points of F pictures, without gaps."""

    image: Float[np.ndarray, "F L 2"]
    """Pixels."""
    world: Float[np.ndarray, "F L 3"]
    """Metres from the midpoint of the hips, in the camera's axes."""
    visibility: Float[np.ndarray, "F L"]
    """In [0, 1]; zero in pictures that were filled in."""
    has_world: Bool[np.ndarray, "F"]
    """Whether the detector gave 3D points for the picture."""
    interpolated: Bool[np.ndarray, "F"]
    """Whether nobody was detected there, so that the points were filled in."""
    flipped: Bool[np.ndarray, "F"]
    """Whether the detector had confused left and right, which has been undone."""


def observe(keypoints: Keypoints, K: Float[np.ndarray, "3 3"]) -> Observations:
    """Undoes confusions of left and right, rotates 3D points to the camera's axes, and interpolates over gaps.

    Args:
        keypoints: of F pictures, as the keypoints stage writes them.
        K: the camera's intrinsics (pixels).
    """
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
    """Substitutes (m) for missing 3D points: the image points, scaled to a torso of 50 cm, all at one depth."""
    hips, shoulders = image[:, HIPS].mean(1), image[:, SHOULDERS].mean(1)
    torso = np.linalg.norm(shoulders - hips, axis=1).clip(1e-3)
    flat = (image - hips[:, None]) * (0.5 / torso)[:, None, None]
    return np.concatenate([flat, np.zeros_like(flat[..., :1])], -1)


def point_trust(world: Float[np.ndarray, "F L 3"]) -> Float[np.ndarray, "F L"]:
    """How far to trust each point, in [0, 1], beyond what the detector says.

    It calls a face visible that looks away from the camera, and guesses where it is. On rendered people of known pose
    (`benchmarks/landmarks.py`), the nose is 1.5 cm off from the front and 5.5 cm from behind.

    Args:
        world: the 3D points (m, camera axes).
    """
    right, left = world[:, [SHOULDERS[1], HIPS[1]]].mean(1), world[:, [SHOULDERS[0], HIPS[0]]].mean(1)
    ahead = np.cross(left - right, world[:, SHOULDERS].mean(1) - world[:, HIPS].mean(1))
    towards = -ahead[:, 2] / np.linalg.norm(ahead, axis=1).clip(1e-9)
    front = 1 / (1 + np.exp(-towards / TURNED))
    trust = np.ones(world.shape[:2])
    for points, behind in ((FACE, BEHIND["face"]), (EARS, BEHIND["ears"])):
        trust[:, points] = HEAD_TRUST * (behind + (1 - behind) * front)[:, None]
    return trust


def mirror(
    image: Float[np.ndarray, "F L 2"], world: Float[np.ndarray, "F L 3"]
) -> tuple[Float[np.ndarray, "F L 2"], Float[np.ndarray, "F L 3"]]:
    """The points of a detector that took the person's back for the front, corrected: sides swapped, depth reversed."""
    return image[:, MIRRORED], world[:, MIRRORED] * [1, 1, -1]


def find_flips(image: Float[np.ndarray, "F L 2"], world: Float[np.ndarray, "F L 3"]) -> Bool[np.ndarray, "F"]:
    """Which frames have left and right swapped: the assignment under which the points accelerate least.

    A second-order Viterbi search, whose states are the choices for two successive frames.
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
    # best[a, b]: the least cost of all choices whose last two are a and b
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
    """Interpolates linearly over the unknown frames; before the first and after the last known one, repeats it."""
    at = np.flatnonzero(known)
    flat = x.reshape(len(x), -1)
    filled = np.stack([np.interp(np.arange(len(x)), at, column[at]) for column in flat.T], -1)
    return filled.reshape(x.shape)
