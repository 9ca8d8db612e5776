"""A moving body of known pose: what the fitting tests project and recover."""

import numpy as np
import pytest
import torch

from hashhuman.body.anny import AnnyBody
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.sequence import BodySequence, Posed, spread_vertices

FRAMES = 14
SIZE = 240
SWINGS = (
    ("left_hip", 0, -0.5), ("right_hip", 0, 0.4), ("left_knee", 0, 0.7), ("right_shoulder", 2, -0.5),
    ("left_shoulder", 2, 0.4), ("right_elbow", 1, 0.6),
)  # fmt: skip


@pytest.fixture(scope="session")
def body(anny: AnnyBody) -> AnnyBody:
    return anny


@pytest.fixture(scope="session")
def moving(body: AnnyBody) -> tuple[torch.Tensor, Posed, BodySequence]:
    """Intrinsics, and a body that swings its limbs while it turns about, 3 m before the camera."""
    K = torch.tensor([[1.2 * SIZE, 0, SIZE / 2 - 0.5], [0, 1.2 * SIZE, SIZE / 2 - 0.5], [0, 0, 1]])
    surface = spread_vertices(body.template(body.shape_mean).vertices, 150)
    sequence = BodySequence(body, LANDMARKS, OFFSETS, surface, FRAMES)
    t = torch.linspace(0, 1, FRAMES)
    turn = np.pi * t
    with torch.no_grad():
        sequence.root.copy_(torch.stack([turn.cos(), 0 * t, turn.sin(), 0 * t, 0 * t - 1, 0 * t], -1))
        for name, axis, swing in SWINGS:
            phase = (2 * np.pi * t).sin()
            phase = phase.clamp_min(0) if "knee" in name else phase  # knees bend one way
            sequence.pose[:, body.joint_names.index(name), axis] = swing * phase
        sequence.pelvis.copy_(torch.stack([0.1 * t, 0 * t, 3 + 0.2 * t], -1))
        return K, sequence(), sequence
