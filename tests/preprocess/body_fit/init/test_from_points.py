"""The first estimate from exact points."""

import torch

from preprocess.body_fit.geometry import project
from preprocess.body_fit.init.from_points import init_from_points, place_pelvis
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


def test_the_pelvis_does_not_depend_on_what_memory_held(body, moving):
    """PyTorch's default driver takes the order of the columns from memory that it has not written."""
    K, truth, _ = moving
    image, generator = project(truth.landmarks, K), torch.Generator().manual_seed(0)
    image += torch.randn(image.shape, generator=generator)
    weight, found = torch.rand(image.shape[:2], generator=generator), []
    for first in range(30):
        sequence = BodySequence(body, LANDMARKS, OFFSETS, torch.arange(4), len(truth.joints))
        left = [torch.tensor([0, 0, first % 2], dtype=torch.int32) for _ in range(100)]
        del left  # from memory, but not out of it
        place_pelvis(sequence, image, weight, K)
        found.append(sequence.pelvis.detach().clone())
    assert all(torch.equal(pelvis, found[0]) for pelvis in found)
