"""Where BlazePose's 33 points lie on a body, and how far to trust them.

Offsets and deviations were measured on rendered people of known pose (other seeds, clothes and motions than those that
any figure is reported on): what the network calls a heel, say, lies 5 cm below the heel bone's landmark.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from preprocess.keypoints.points import NAMES

# point (of the left side): the body's landmark, offset from it at rest (cm; x to the person's left, y up, z ahead),
# deviation in the picture (cm at the person's depth), deviation of the 3D point across and along the view (cm)
POINTS = {
    "nose": ("nose", (0.0, 0.8, -0.1), 2.5, (4, 8)),
    "eye_inner": ("left_eye", (-1.5, 0.7, -1.1), 2.5, (4, 8)),
    "eye": ("left_eye", (-0.3, 0.7, -1.6), 2.5, (4, 8)),
    "eye_outer": ("left_eye", (0.9, 0.6, -2.0), 2.5, (4, 8)),
    "ear": ("left_ear", (-1.9, 0.7, 2.5), 2.5, (4, 7)),
    "mouth": ("nose", (1.9, -2.7, -1.6), 2.5, (4, 7)),
    "shoulder": ("left_shoulder", (0.6, 1.3, -0.5), 3.0, (3, 5)),
    "elbow": ("left_elbow", (-0.6, -0.1, 1.4), 3.3, (6, 11)),
    "wrist": ("left_wrist", (-0.4, -1.7, 0.9), 2.7, (8, 17)),
    "pinky": ("left_pinky_knuckle", (-3.1, 1.2, 0.2), 2.8, (9, 20)),
    "index": ("left_index_knuckle", (-1.1, -1.3, -2.7), 2.2, (9, 20)),
    "thumb": ("left_thumb_knuckle", (2.1, -2.4, -0.9), 2.4, (8, 18)),
    "hip": ("left_hip", (0.4, -1.3, -0.2), 2.7, (3, 4)),
    "knee": ("left_knee", (-1.4, -1.9, -0.9), 3.6, (4, 8)),
    "ankle": ("left_ankle", (-0.8, -3.4, 1.4), 2.3, (4, 10)),
    "heel": ("left_heel", (-1.0, -5.2, 0.7), 3.1, (6, 13)),
    "foot_index": ("left_big_toe", (0.9, -1.7, -1.7), 4.3, (6, 10)),
}


def _entry(name: str) -> tuple[str, tuple[float, float, float], float, tuple[float, float]]:
    right = "right" in name
    base = name.replace("left_", "").replace("right_", "").replace("_left", "").replace("_right", "")
    landmark, (x, y, z), image, world = POINTS[base]
    if right:
        landmark, x = landmark.replace("left", "right"), -x
    return landmark, (x / 100, y / 100, z / 100), image / 100, (world[0] / 100, world[1] / 100)


_ENTRIES = [_entry(name) for name in NAMES]
LANDMARKS: tuple[str, ...] = tuple(e[0] for e in _ENTRIES)
OFFSETS: Float[Tensor, "L 3"] = torch.tensor([e[1] for e in _ENTRIES])  # m, rest frame
IMAGE_DEVIATION: Float[Tensor, "L"] = torch.tensor([e[2] for e in _ENTRIES])  # m
WORLD_DEVIATION: Float[Tensor, "L 3"] = torch.tensor([[e[3][0], e[3][0], e[3][1]] for e in _ENTRIES])  # m: x, y, z
