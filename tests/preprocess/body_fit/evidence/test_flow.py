"""Optical flow of pictures whose motion is known, and what it asks of a body."""

import dataclasses

import cv2
import numpy as np
import torch

from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.evidence.flow import AHEAD, GRID, Flow, observe_flow
from preprocess.body_fit.evidence.silhouette import observe_silhouettes
from preprocess.body_fit.evidence.texture import Texture
from preprocess.body_fit.evidence.turns import Turns
from preprocess.body_fit.optimise.terms import Terms

HEIGHT, WIDTH = 150, 200
STEP = (2.5, -1.5)  # pixels a frame
Y, X = np.mgrid[:HEIGHT, :WIDTH]


def sliding(frames: int) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """A textured disc that slides over a still, textured ground, and its masks."""
    noise = np.random.default_rng(3).uniform(0, 255, (2, HEIGHT, WIDTH)).astype(np.float32)
    ground, skin = (cv2.GaussianBlur(n, (0, 0), 2) * 4 - 380 for n in noise)
    greys, masks = [], []
    for i in range(frames):
        shift = np.array([[1, 0, STEP[0] * i], [0, 1, STEP[1] * i]])
        moved = cv2.warpAffine(skin, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        disc = np.hypot(X - 80 - STEP[0] * i, Y - 80 - STEP[1] * i) < 40
        greys.append(np.where(disc, moved, ground).clip(0, 255).astype(np.uint8))
        masks.append(np.where(disc, 255, 0).astype(np.uint8))
    return greys, masks


def test_flow_of_a_sliding_disc():
    greys, masks = sliding(4)
    flow = observe_flow(iter(greys), masks)
    inner = torch.tensor([[x, y] for x in (60.0, 80.0, 100.0) for y in (60.0, 80.0, 100.0)])
    points = torch.stack([inner + torch.tensor(STEP) * i for i in range(4)])
    moved, trust = flow.at(points)
    expected = AHEAD * torch.tensor(STEP)
    assert (trust[:2] > 0.9).all()
    assert torch.allclose(moved[:2], expected.expand(2, 9, 2), atol=0.25)
    assert not trust[2:].any()  # nothing comes two pictures after the last two


def test_what_is_not_the_person_is_not_trusted():
    greys, masks = sliding(3)
    flow = observe_flow(greys, masks)
    beside = torch.tensor([[[30.0, 80], [135, 80], [5, 5], [500, 80]]]).expand(3, -1, -1)
    assert not flow.at(beside)[1].any()


def test_flow_that_does_not_lead_back_is_not_trusted():
    greys, masks = sliding(3)
    greys[2] = np.random.default_rng(0).integers(0, 255, greys[2].shape, np.uint8)  # another picture altogether
    trust = observe_flow(greys, masks).at(torch.full((3, 1, 2), 80.0))[1]
    whole = observe_flow(greys, masks).motion[0, 2]
    assert whole.mean() < 0.1 and trust.max() <= 1


def test_pictures_without_a_person_and_short_clips():
    greys, masks = sliding(4)
    masks[2] = None
    flow = observe_flow(greys, masks)
    assert not flow.motion[0].any() and flow.motion[1, 2].any()
    alone = observe_flow(greys[:1], masks[:1])
    assert alone.motion.shape == (1, 3, GRID, GRID) and not alone.motion.any()


def test_the_term_compares_the_skin_with_the_picture(moving):
    """A body that stands still where the picture moves by 3 pixels, and where it does not."""
    K, truth, sequence = moving
    frames, landmarks = truth.landmarks.shape[:2]
    still = dataclasses.replace(
        truth,
        vertices=truth.vertices[:1].expand(frames, -1, -1),
        normals=truth.normals[:1].expand(frames, -1, -1),
        joints=truth.joints[:1].expand(frames, -1, -1),
    )
    zeros = torch.zeros(frames, landmarks)
    for pixels in (0.0, 3.0):
        moved = torch.ones(frames, 3, GRID, GRID)
        moved[:, 0], moved[:, 1] = pixels, 0
        moved[-AHEAD:] = 0
        flow = Flow(moved, torch.zeros(frames, 2), torch.full((frames,), 240 / (GRID - 1)))
        nothing = observe_silhouettes([None] * frames)
        world = zeros[..., None].expand(-1, -1, 3)
        rest = nothing, flow, Texture.untrusted(frames), Turns.untrusted(frames)
        terms = Terms(sequence, Evidence(K, world[..., :2], zeros, world, zeros, *rest))
        terms.match(still, {"flow": 1.0})
        # by hand: 3 pixels in units of 6 mm at each frame's depth, Geman-McClure of scale 4, over the skin in sight
        metres = sequence.pelvis[:-AHEAD, 2].detach().numpy() / float(K[0, 0])
        squared = (pixels * metres / 0.006) ** 2
        facing = -(still.normals[0] * torch.nn.functional.normalize(still.vertices[0], dim=-1)).sum(-1)
        share = float(terms.correspondences.counts[0].sum()) / still.vertices.shape[1]
        expected = share * (squared / (1 + squared / 16)).sum() / frames
        assert np.isclose(float(terms.flow(still)), expected, rtol=1e-4, atol=1e-7)
        assert 0.1 < share <= float((facing > 0.3).float().mean()) + 1e-6
