"""How the hands are turned, from where the network sees their palms."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from preprocess.body_fit.evidence import turns
from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.evidence.flow import Flow
from preprocess.body_fit.evidence.observe import Observations
from preprocess.body_fit.evidence.silhouette import observe_silhouettes
from preprocess.body_fit.evidence.texture import Texture
from preprocess.body_fit.evidence.turns import MIRROR, PALM, TURNED, HandTurns, Turns, agreeing, palm_rotation
from preprocess.body_fit.optimise.terms import Terms
from preprocess.keypoints.hands import Hands

REST = torch.tensor(list(PALM.values()), dtype=torch.float64)


def rotations(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_palm_tells_its_rotation(side):
    """Whatever its size and place; a right palm is a left one's mirror image."""
    turn = rotations(6)
    palm = REST * MIRROR if side == "right" else REST
    seen = 0.02 * palm @ turn.mT + torch.tensor([0.1, -0.2, 0.4])
    assert torch.allclose(palm_rotation(seen, side), turn, atol=1e-10)


def test_pictures_that_disagree_with_their_neighbours_are_not_trusted():
    steady = torch.from_numpy(Rotation.from_rotvec(np.outer(np.arange(9) * 0.1, [0, 1, 0])).as_matrix())
    steady[4] = steady[4] @ torch.from_numpy(Rotation.from_rotvec([0, 0, np.pi]).as_matrix())  # a back for a palm
    trust = agreeing(steady, torch.full((9,), 0.8, dtype=torch.float64))
    assert trust[4] == 0
    assert torch.allclose(trust[[3, 5]], torch.tensor(0.8 * 5 / 6, dtype=torch.float64))  # one of six is the odd one
    assert torch.allclose(trust[8], torch.tensor(0.8, dtype=torch.float64) * 3 / 3)


def test_a_hand_that_is_seen_once_is_not_trusted():
    alone = torch.tensor([0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1, 1])
    trust = agreeing(torch.eye(3).expand(11, 3, 3), alone)
    assert trust[4] == 0 and torch.allclose(trust[9:], torch.tensor(1 / 3)) and not trust[:4].any()


def test_hands_turn_in_the_cameras_axes(monkeypatch):
    """A hand in the middle of the picture and one at 45 degrees to its right, which the network sees alike."""
    K = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    turn = rotations(1)[0]
    world = np.zeros((4, 2, 21, 3))
    world[:, 0, list(PALM)] = (REST @ turn.mT).numpy()
    world[:, 1, list(PALM)] = ((REST * MIRROR) @ turn.mT).numpy()
    image = np.full((4, 2, 21, 2), 50.0)
    image[:, 1, :, 0] = 150
    monkeypatch.setattr(turns, "find_hands", lambda *_: Hands(image, world, np.ones((4, 2))))
    nobody = Observations(np.zeros((4, 33, 2)), np.zeros((4, 33, 3)), np.ones((4, 33)), *[np.ones(4, bool)] * 3)
    found = HandTurns()([], nobody, K)
    aside = torch.from_numpy(Rotation.from_euler("y", 45, degrees=True).as_matrix())
    assert torch.allclose(found.rotation[:, 0].double(), turn, atol=1e-6)
    assert torch.allclose(found.rotation[:, 1].double(), aside @ turn, atol=1e-6)
    assert (found.trust > 0.9).all()


def test_the_term_counts_degrees_from_what_was_measured(moving):
    """A hand of two is off in one of the frames, by 10 degrees of a deviation of 20."""
    K, truth, sequence = moving
    frames, landmarks = truth.landmarks.shape[:2]
    joints = [sequence.body.joint_names.index(name) for name in TURNED]
    measured = truth.bone_transforms[:, joints, :3, :3].clone()
    measured[3, 1] = measured[3, 1] @ torch.from_numpy(Rotation.from_rotvec([0, 0.175, 0]).as_matrix()).float()
    zeros = torch.zeros(frames, landmarks)
    flow = Flow(torch.zeros(frames, 3, 4, 4), torch.zeros(frames, 2), torch.ones(frames))
    rest = observe_silhouettes([None] * frames), flow, Texture.untrusted(frames)
    evidence = Evidence(
        K, truth.landmarks[..., :2], zeros, truth.landmarks, zeros, *rest, Turns(measured, torch.ones(frames, 2))
    )
    value = float(Terms(sequence, evidence).turns(truth))
    assert value == pytest.approx(0.25 / (1 + 0.25 / 9) / (2 * frames), rel=0.01)
    blind = dataclasses.replace(evidence, turns=Turns.untrusted(frames))
    assert float(Terms(sequence, blind).turns(truth)) == 0
