"""Correspondences keep their tensors while their number stays the same."""

import dataclasses

import torch

from preprocess.body_fit.optimise.correspondences import gather_chosen
from preprocess.body_fit.optimise.terms import Terms
from tests.preprocess.body_fit.optimise.test_gradients import WEIGHTS, evidence  # noqa: F401
from tests.preprocess.body_fit.test_fit import shown  # noqa: F401


def test_correspondences_of_the_same_count_stay_in_their_tensors(moving, evidence):  # noqa: F811
    """A captured graph goes on reading the tensors that it was captured with."""
    _, posed, sequence = moving
    terms = Terms(sequence, evidence)
    correspondences = terms.correspondences
    correspondences.multiple = 64
    assert not terms.match(posed, WEIGHTS)
    tensors = dict(correspondences.found)
    before = {name: value.clone() for name, value in tensors.items()}
    turned = dataclasses.replace(posed, vertices=posed.vertices.flip(0), normals=posed.normals.flip(0))
    assert terms.match(turned, WEIGHTS)
    assert all(correspondences.found[name] is value for name, value in tensors.items())
    assert torch.equal(correspondences.seen, before["seen"].flip(0))
    correspondences.multiple = 1
    assert not terms.match(posed, WEIGHTS)


def test_what_is_chosen_stands_gather_chosen():
    chosen = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
    rows, counts = gather_chosen(chosen)
    assert rows[0].tolist() == [1, 3] and rows[2, 0] == 0
    assert counts.tolist() == [[True, True], [False, False], [True, False]]
