"""The first estimate from exact points."""

import torch

from preprocess.body_fit.geometry import project
from preprocess.body_fit.init.from_points import init_from_points
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.sequence import BodySequence


def test_initial_pose_from_exact_points(body, moving):
    K, truth, _ = moving
    sequence = BodySequence(body, LANDMARKS, OFFSETS, torch.arange(4), len(truth.joints))
    weight = torch.ones(truth.landmarks.shape[:2])
    init_from_points(sequence, truth.landmarks, project(truth.landmarks, K), weight, K)
    joints = sequence().joints
    # bones of the limbs point as they should; how far away the person stands follows from the picture
    for start, end in (("left_shoulder", "left_elbow"), ("right_hip", "right_knee"), ("left_knee", "left_ankle")):
        a, b = body.joint_names.index(start), body.joint_names.index(end)
        cosine = torch.cosine_similarity(joints[:, b] - joints[:, a], truth.joints[:, b] - truth.joints[:, a], dim=-1)
        assert cosine.min() > 0.97
    assert (joints[:, 0] - truth.joints[:, 0]).norm(dim=-1).max() < 0.1
