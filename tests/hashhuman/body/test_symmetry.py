"""The opposite vertices of the toy body, which is made of boxes."""

import dataclasses

import torch

from hashhuman.body.symmetry import opposite
from tests import toy


def test_the_toys_arms_are_opposite():
    body = toy.template()
    index, distance = opposite(body)
    left, right = torch.arange(16, 24), torch.arange(24, 32)
    assert set(index[left].tolist()) == set(right.tolist()) and set(index[right].tolist()) == set(left.tolist())
    assert torch.equal(index[index[left]], left)
    mirrored = body.canonical_vertices * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(body.canonical_vertices[index[left]], mirrored[left])
    assert distance[left].max() < 1e-6
    assert (index[:8] < 8).all() and distance[:8].max() < 1e-6  # the torso is its own mirror image


def test_a_limb_without_a_partner_is_far_from_its_mirror_image():
    """The toy has a left leg only: box 0.16 m wide, whose axis is 0.08 m beside the plane, turned outwards."""
    _, distance = opposite(toy.template())
    assert distance[32:].max() > 0.2


def test_the_plane_contains_the_root():
    body = toy.template()
    aside = torch.tensor([0.3, 0.0, 0.0])
    moved = dataclasses.replace(body, vertices=body.vertices + aside, joints=body.joints + aside)
    assert torch.equal(opposite(moved)[0][16:32], opposite(body)[0][16:32])
