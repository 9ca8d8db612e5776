"""Where BlazePose's 33 points lie on a body, and how accurate they are.

`benchmarks/landmarks.py` measured these numbers on rendered people of known pose; none of them is in a scene that
results are reported on. The network's 3D points have a bias: it puts the head about 9 cm too near to the camera, for
example, whichever way the person faces.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from preprocess.skeleton import NAMES

# point (on the person's left): the body's landmark; the point's offset from it at rest (cm; x to the person's left,
# y up, z forward); deviation in the picture (cm at the person's depth); deviation of the 3D point across and along the
# view (cm); correction of the 3D point along the view, and along the person's forward direction (cm)
POINTS = {
    "nose": ("nose", (0.0, 0.7, -1.0), 1.9, (3.0, 4.6), (7.4, -5.1)),
    "eye_inner": ("left_eye", (-1.7, 0.6, -0.9), 1.7, (3.3, 4.5), (9.7, -4.3)),
    "eye": ("left_eye", (-0.6, 0.6, -1.5), 1.7, (3.5, 4.5), (9.9, -4.8)),
    "eye_outer": ("left_eye", (0.5, 0.6, -2.0), 1.8, (4.0, 4.7), (8.9, -5.3)),
    "ear": ("left_ear", (-2.5, 0.9, 2.9), 1.6, (5.7, 3.8), (8.8, 1.9)),
    "mouth": ("nose", (1.7, -2.8, -2.4), 1.8, (3.1, 4.2), (7.2, -3.2)),
    "shoulder": ("left_shoulder", (0.1, 1.0, -1.0), 2.1, (1.3, 2.5), (-0.4, -0.5)),
    "elbow": ("left_elbow", (0.3, 0.4, 0.1), 1.7, (2.3, 6.2), (3.6, -0.4)),
    "wrist": ("left_wrist", (0.9, -0.3, 1.0), 1.1, (2.4, 9.2), (1.1, 1.4)),
    "pinky": ("left_pinky_knuckle", (-2.4, 1.5, 1.1), 1.5, (2.7, 10.4), (2.5, 1.6)),
    "index": ("left_index_knuckle", (-0.8, -0.8, -2.5), 1.2, (3.7, 10.6), (3.3, 1.0)),
    "thumb": ("left_thumb_knuckle", (2.6, -1.7, -0.5), 1.4, (3.0, 10.2), (1.8, 3.5)),
    "hip": ("left_hip", (0.4, -1.0, 0.3), 2.0, (1.1, 2.0), (0.8, 0.6)),
    "knee": ("left_knee", (-0.5, -0.2, 0.3), 1.5, (1.7, 4.8), (3.3, 2.7)),
    "ankle": ("left_ankle", (-0.1, -0.8, 0.6), 1.3, (2.4, 6.0), (-4.6, -0.1)),
    "heel": ("left_heel", (0.6, -1.2, 0.0), 2.0, (2.4, 6.5), (-3.7, -5.0)),
    "foot_index": ("left_big_toe", (1.2, 0.1, -2.3), 1.8, (3.5, 7.1), (-1.6, 5.4)),
}


def _entry(name: str) -> tuple[str, tuple[float, ...], float, tuple[float, ...], tuple[float, ...]]:
    """The entry of POINTS for any of the 33 points, mirrored for one on the right (cm)."""
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
"""The body model's name for each of the L = 33 points."""
OFFSETS: Float[Tensor, "L 3"] = _metres(1)
"""From the landmark to the point (m, rest frame)."""
IMAGE_DEVIATION: Float[Tensor, "L"] = _metres(2)
"""Of the points in the picture (m at the person's depth)."""
WORLD_DEVIATION: Float[Tensor, "L 3"] = _metres(3)
"""Of the 3D points along the camera's x, y and z axes (m)."""
WORLD_BIAS: Float[Tensor, "L 2"] = _metres(4)
"""To be added to the 3D points along the view, and along the person's forward direction (m)."""
