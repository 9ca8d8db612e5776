"""The sets of 2D keypoints that preprocessing speaks: which points each has, and in which order.

Everything works on BlazePose's 33 points (`NAMES`). OpenPose's BODY_25 and COCO's 17 points are translated to them.
"Left" and "right" are the person's own.
"""

NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""BlazePose's 33 points, in the order of its outputs."""

HIPS = [NAMES.index("left_hip"), NAMES.index("right_hip")]
"""Indices of both hips in `NAMES`; metric points are measured from their midpoint."""

SHOULDERS = [NAMES.index("left_shoulder"), NAMES.index("right_shoulder")]
"""Indices of both shoulders in `NAMES`."""

_OPPOSITE = {"left": "right", "right": "left"}
MIRRORED = [NAMES.index("_".join(_OPPOSITE.get(word, word) for word in name.split("_"))) for name in NAMES]
"""For each of the 33 points, the index of the point that takes its place in a mirror image."""

BODY_25: tuple[tuple[str, ...], ...] = (
    ("nose",), ("left_shoulder", "right_shoulder"), ("right_shoulder",), ("right_elbow",), ("right_wrist",),
    ("left_shoulder",), ("left_elbow",), ("left_wrist",), ("left_hip", "right_hip"), ("right_hip",), ("right_knee",),
    ("right_ankle",), ("left_hip",), ("left_knee",), ("left_ankle",), ("right_eye",), ("left_eye",), ("right_ear",),
    ("left_ear",), ("left_foot_index",), (), ("left_heel",), ("right_foot_index",), (), ("right_heel",),
)  # fmt: skip
"""OpenPose's BODY_25: each of its points is the mean of the named points.

The small toes are empty, since BlazePose has a single point for the big and the small toe.
"""

COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's 17 body points, in its order."""

FACE_68 = {
    "right_eye_outer": 36, "right_eye_inner": 39, "left_eye_inner": 42, "left_eye_outer": 45, "mouth_right": 48,
    "mouth_left": 54,
}  # fmt: skip
"""Indices of our points among the 68 points of a face, in OpenPose's and COCO-WholeBody's common order."""

HAND_21 = {"thumb": 2, "index": 5, "pinky": 17}
"""Indices of our points (knuckles, without their side) among the 21 points of a hand, in the order of both."""
