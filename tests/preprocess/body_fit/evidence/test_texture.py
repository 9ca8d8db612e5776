"""Patterns on a surface: what is compared of them, and what the term asks of a body."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from hashhuman.io.files import write_image
from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.evidence.flow import Flow, observe_flow
from preprocess.body_fit.evidence.observe import Observations
from preprocess.body_fit.evidence.silhouette import observe_silhouettes
from preprocess.body_fit.evidence.texture import BLURS, CELLS, Texture, texture_window
from preprocess.body_fit.evidence.turns import Turns
from preprocess.body_fit.optimise.terms import Terms

HEIGHT, WIDTH = 220, 260
Y, X = np.mgrid[:HEIGHT, :WIDTH]
INNER = torch.tensor([[[x, y] for x in (70.0, 85.0, 100.0) for y in (75.0, 90.0, 105.0)]])


def disc(shift: tuple[float, float] = (0, 0), light: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A patterned disc of 50 pixels' radius before a grey wall, moved and lit, and its mask."""
    noise = np.random.default_rng(5).uniform(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    skin = np.clip(cv2.GaussianBlur(noise, (0, 0), 3) * 6 - 2.5, 0, 1)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], float)
    skin = cv2.warpAffine(skin, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    inside = np.hypot(X - 85 - shift[0], Y - 90 - shift[1]) < 50
    image = np.where(inside[..., None], skin * np.asarray(light)[..., None], 0.5)
    return np.rint(image * 255).astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


def features(*pictures: tuple[np.ndarray, np.ndarray | None]) -> Texture:
    return Texture.of(texture_window(*picture) for picture in pictures)


def test_a_pattern_looks_the_same_wherever_it_is():
    moved = (61.5, 27.0)
    texture = features(disc(), disc(moved))
    found, trust = texture.at(torch.cat([INNER, INNER + torch.tensor(moved)]))
    assert (trust > 0.99).all() and found.shape[-1] == 3 * len(BLURS)
    assert (found[0] - found[1]).norm() < 0.15 * found[0].norm()
    elsewhere = texture.at(torch.cat([INNER, INNER + torch.tensor(moved) + torch.tensor([12.0, 0])]))[0]
    assert (elsewhere[0] - elsewhere[1]).norm() > 0.8 * found[0].norm()


@pytest.mark.parametrize("light", [0.5, 0.4 + 0.6 * X / WIDTH])
def test_light_changes_it_little(light):
    texture = features(disc(), disc(light=light))
    found, _ = texture.at(INNER.expand(2, -1, -1))
    assert (found[0] - found[1]).norm() < 0.25 * found[0].norm()


def test_only_the_person_is_trusted():
    image, mask = disc()
    texture = features((image, mask), (image, None), (image, np.zeros_like(mask)))
    beside = torch.tensor([[[30.0, 90], [140, 90], [5, 5], [900, 90]]]).expand(3, -1, -1)
    assert not texture.at(beside)[1].any()
    assert not texture.at(INNER.expand(3, -1, -1))[1][1:].any()
    assert texture.contrast.shape == (3, 3 * len(BLURS) + 1, CELLS, CELLS)


def test_the_term_pulls_a_body_to_where_its_pattern_is(moving):
    """All frames alike but the last, whose pattern lies 3 pixels to the right of where the body is."""
    K, truth, sequence = moving
    frames, landmarks = truth.landmarks.shape[:2]
    generator = np.random.default_rng(0)
    pattern = cv2.GaussianBlur(generator.normal(size=(CELLS, CELLS, 3)).astype(np.float32), (0, 0), 6) * 20
    shifted = np.roll(pattern, 2, axis=1)
    stack = np.stack([pattern] * (frames - 1) + [shifted]).transpose(0, 3, 1, 2)
    contrast = torch.from_numpy(np.concatenate([stack, np.ones_like(stack[:, :1])], 1))
    texture = Texture(contrast, torch.zeros(frames, 2), torch.full((frames,), 240 / CELLS))
    nothing, zeros = observe_silhouettes([None] * frames), torch.zeros(frames, landmarks)
    flow = Flow(torch.zeros(frames, 3, 4, 4), torch.zeros(frames, 2), torch.ones(frames))
    world = zeros[..., None].expand(-1, -1, 3)
    turns = Turns.untrusted(frames)
    terms = Terms(sequence, Evidence(K, world[..., :2], zeros, world, zeros, nothing, flow, texture, turns))
    still = dataclasses.replace(
        truth,
        vertices=truth.vertices[:1].expand(frames, -1, -1),
        normals=truth.normals[:1].expand(frames, -1, -1),
    )
    terms.match(still, {"texture": 1.0})
    shift = torch.zeros(frames, 1, 3, requires_grad=True)
    value = terms.texture(dataclasses.replace(still, vertices=still.vertices + shift))
    value.backward()
    pull = -shift.grad[:, 0, 0]
    assert pull[-1] > 0 and pull[-1] > 10 * pull[:-1].abs().max()
    there = torch.zeros(frames, 1, 3)
    there[-1, 0, 0] = 3.0 / float(K[0, 0]) * float(still.vertices[0, :, 2].mean())
    assert terms.texture(dataclasses.replace(still, vertices=still.vertices + there)) < 0.1 * value


def test_evidence_looks_at_each_picture_once_in_order_and_only_where_asked(tmp_path):
    """Differing pictures: flow and texture equal those observed of each alone, and without their terms none is read."""
    noise = np.random.default_rng(1)
    images = [noise.integers(0, 255, (60, 50, 3), dtype=np.uint8) for _ in range(5)]
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, image in zip(paths, images):
        write_image(path, image)
    masks = [np.zeros((60, 50), np.uint8) for _ in images]
    for i, mask in enumerate(masks):
        mask[10 : 40 + i, 8 + i : 30] = 255
    observations = Observations(
        np.zeros((5, 33, 2)), np.zeros((5, 33, 3)), np.ones((5, 33)), *[np.ones(5, bool) for _ in range(3)]
    )
    evidence = Evidence.of(observations, torch.eye(3), paths, masks, {"texture"})
    texture = Texture.of([texture_window(image, mask) for image, mask in zip(images, masks)])
    flow = observe_flow([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images], masks)
    for seen, expected in ((evidence.texture, texture), (evidence.flow, flow)):
        for field in dataclasses.fields(expected):
            assert torch.equal(getattr(seen, field.name), getattr(expected, field.name)), field.name
    blind = Evidence.of(observations, torch.eye(3), [tmp_path / "none"] * 5, masks, {"points"})
    assert not blind.texture.at(torch.zeros(5, 2, 2))[1].any() and not blind.flow.at(torch.zeros(5, 2, 2))[1].any()
