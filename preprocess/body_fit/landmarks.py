"""Where BlazePose's 33 points lie on a body, and how far to trust them.

Offsets and deviations were measured on rendered people of known pose (other seeds, clothes and motions than those that
any figure is reported on): what the network calls a heel, say, lies 5 cm below the heel bone's landmark, and its 3D
points hold the head 10 cm too near to the camera, whichever way the person faces.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from preprocess.keypoints.points import NAMES

# point (of the left side): the body's landmark, offset from it at rest (cm; x to the person's left, y up, z ahead),
# deviation in the picture (cm at the person's depth), deviation of the 3D point across and along the view (cm), and how
# far the 3D point should be moved along the view, and ahead of the person (cm)
POINTS = {
    "nose": ("nose", (0.0, 0.8, -0.1), 2.5, (3, 4), (10, -5)),
    "eye_inner": ("left_eye", (-1.5, 0.7, -1.1), 2.5, (3, 4), (12, -5.5)),
    "eye": ("left_eye", (-0.3, 0.7, -1.6), 2.5, (3, 4), (12, -5.5)),
    "eye_outer": ("left_eye", (0.9, 0.6, -2.0), 2.5, (3, 4), (11.5, -6)),
    "ear": ("left_ear", (-1.9, 0.7, 2.5), 2.5, (2.5, 3.5), (10.5, 1)),
    "mouth": ("nose", (1.9, -2.7, -1.6), 2.5, (3, 4), (9.5, -3)),
    "shoulder": ("left_shoulder", (0.6, 1.3, -0.5), 3.0, (3, 4), (0, 0)),
    "elbow": ("left_elbow", (-0.6, -0.1, 1.4), 3.3, (3.5, 7), (3, 0)),
    "wrist": ("left_wrist", (-0.4, -1.7, 0.9), 2.7, (4, 11), (1, 0)),
    "pinky": ("left_pinky_knuckle", (-3.1, 1.2, 0.2), 2.8, (4, 13), (1.5, 0)),
    "index": ("left_index_knuckle", (-1.1, -1.3, -2.7), 2.2, (4, 13), (2, 0)),
    "thumb": ("left_thumb_knuckle", (2.1, -2.4, -0.9), 2.4, (4, 12), (1, 0)),
    "hip": ("left_hip", (0.4, -1.3, -0.2), 2.7, (2, 3.5), (0, 0)),
    "knee": ("left_knee", (-1.4, -1.9, -0.9), 3.6, (4, 5.5), (3, 1)),
    "ankle": ("left_ankle", (-0.8, -3.4, 1.4), 2.3, (4, 7), (-4, 0)),
    "heel": ("left_heel", (-1.0, -5.2, 0.7), 3.1, (4, 8), (-3, -5)),
    "foot_index": ("left_big_toe", (0.9, -1.7, -1.7), 4.3, (4, 8), (-1, 6)),
}


def _entry(name: str) -> tuple[str, tuple[float, ...], float, tuple[float, ...], tuple[float, ...]]:
    right = "right" in name
    base = name.replace("left_", "").replace("right_", "").replace("_left", "").replace("_right", "")
    landmark, (x, y, z), image, (across, along), (depth, ahead) = POINTS[base]
    if right:
        landmark, x = landmark.replace("left", "right"), -x
    return landmark, (x, y, z), image, (across, across, along), (depth, ahead)


def _metres(column: int) -> Tensor:
    return torch.tensor([entry[column] for entry in _ENTRIES]) / 100


_ENTRIES = [_entry(name) for name in NAMES]
LANDMARKS: tuple[str, ...] = tuple(entry[0] for entry in _ENTRIES)
OFFSETS: Float[Tensor, "L 3"] = _metres(1)  # rest frame
IMAGE_DEVIATION: Float[Tensor, "L"] = _metres(2)
WORLD_DEVIATION: Float[Tensor, "L 3"] = _metres(3)  # x, y, z of the camera
WORLD_BIAS: Float[Tensor, "L 2"] = _metres(4)  # to be added along the view, and ahead of the person
