"""A blurred gradient moves frames together."""

import copy

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.evidence.flow import Flow
from preprocess.body_fit.evidence.silhouette import observe_silhouettes
from preprocess.body_fit.evidence.texture import Texture
from preprocess.body_fit.evidence.turns import Turns
from preprocess.body_fit.geometry import project
from preprocess.body_fit.optimise.minimise import blur, minimise
from preprocess.body_fit.optimise.terms import Terms


@pytest.mark.parametrize("deviation", [0.6, 1, 4])
def test_blur_is_a_gaussian_of_the_frames_that_there_are(deviation):
    x = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0))
    settings = {"sigma": deviation, "axis": 0, "mode": "constant", "radius": int(np.ceil(3 * deviation))}
    expected = gaussian_filter1d(x.double().numpy(), **settings)
    expected /= gaussian_filter1d(np.ones(9), **settings)[:, None, None]
    np.testing.assert_allclose(blur(x, deviation).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("deviation", "moved"), [(0, [7]), (1, [4, 5, 6, 7, 8, 9, 10])])
def test_a_blurred_step_moves_the_frames_about_that_which_pulls(moving, deviation, moved):
    K, truth, sequence = moving
    sequence = copy.deepcopy(sequence)
    frames, points = truth.landmarks.shape[:2]
    pull = torch.zeros(frames, points)
    pull[7] = 1
    nowhere = Flow(torch.zeros(frames, 3, 4, 4), torch.zeros(frames, 2), torch.ones(frames))
    silhouettes = observe_silhouettes([np.full((8, 8), 255, np.uint8)] * frames)
    beside = project(truth.landmarks, K) + torch.tensor([3.0, 0])
    rest = silhouettes, nowhere, Texture.untrusted(frames), Turns.untrusted(frames)
    evidence = Evidence(K, beside, pull, truth.landmarks, pull, *rest)
    before = sequence.pelvis.detach().clone()
    stage = {"steps": 1, "weights": {"points": 1}, "free": {"pelvis": 0.01}, "blur": deviation}
    minimise(Terms(sequence, evidence), [stage], lambda: None)
    assert (sequence.pelvis - before)[:, 0].gt(1e-4).nonzero()[:, 0].tolist() == moved
