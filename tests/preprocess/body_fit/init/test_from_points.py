"""The first estimate from exact points."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from preprocess.body_fit.evidence.turns import Turns
from preprocess.body_fit.geometry import project
from preprocess.body_fit.init.from_points import init_from_points, place_pelvis, turn_forearm
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.sequence import BodySequence


def test_initial_pose_from_exact_points(body, moving):
    K, truth, _ = moving
    sequence = BodySequence(body, LANDMARKS, OFFSETS, torch.arange(4), len(truth.joints))
    weight = torch.ones(truth.landmarks.shape[:2])
    init_from_points(sequence, truth.landmarks, project(truth.landmarks, K), weight, K, Turns.untrusted(len(weight)))
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


def test_hands_turn_their_forearms():
    """Half of the turn about the forearm is the elbow's. One picture is not trusted, and a back is taken for a palm."""
    axis, frames = np.array([0.6, -0.8, 0]), 6
    twist = np.radians([40, 50, 60, 60, 60, 30])
    bend = Rotation.from_rotvec(np.outer(np.full(frames, 0.4), [0, 0, 1]))
    elbow = Rotation.from_rotvec(np.tile([0.3, -0.2, 0.5], (frames, 1)))
    hand = Rotation.from_rotvec(twist[:, None] * axis) * bend
    measured = torch.from_numpy(hand.as_matrix())
    measured[1] = torch.eye(3)
    measured[3] = torch.from_numpy(Rotation.from_rotvec(np.pi * axis).as_matrix()) @ measured[3]
    trust = torch.tensor([1.0, 0, 1, 1, 1, 1])
    found, wrist = turn_forearm(torch.from_numpy(elbow.as_rotvec()), measured, torch.from_numpy(2 * axis), trust)
    forearm = elbow.inv() * Rotation.from_rotvec(found.numpy())
    assert np.allclose(forearm.as_rotvec(), twist[:, None] / 2 * axis, atol=1e-6)
    together = Rotation.from_rotvec(found.numpy()) * Rotation.from_rotvec(wrist.numpy())
    off = np.degrees((together.inv() * (elbow * hand)).magnitude())
    assert off[[0, 2, 4, 5]].max() < 0.01 and off[[1, 3]].max() < 2  # between their neighbours


def test_forearms_stay_as_they_are_where_no_hand_was_seen():
    elbow = torch.rand(4, 3, dtype=torch.float64)
    turned = torch.from_numpy(Rotation.random(4, random_state=0).as_matrix())
    found, wrist = turn_forearm(elbow, turned, torch.tensor([1.0, 0, 0]), torch.zeros(4))
    assert torch.equal(found, elbow) and not wrist.any()
