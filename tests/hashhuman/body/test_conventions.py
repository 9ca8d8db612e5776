"""Our orient and transl against SMPL's global_orient and transl."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.conventions import smpl_transl, transl_from_smpl

RNG = np.random.default_rng(3)


def test_round_trip():
    turn, shift, pelvis = (torch.tensor(RNG.normal(size=s)).float() for s in ((7, 3), (7, 3), (3,)))
    assert torch.allclose(transl_from_smpl(turn, smpl_transl(turn, shift, pelvis), pelvis), shift, atol=1e-5)


def test_both_conventions_put_a_point_at_the_same_place():
    point, pelvis, turn, shift = RNG.normal(size=(4, 3))
    rotation = Rotation.from_rotvec(turn)
    ours = rotation.apply(point) + shift
    transl = smpl_transl(*(torch.tensor(x).float() for x in (turn, shift, pelvis))).numpy()
    smpl = rotation.apply(point - pelvis) + pelvis + transl
    assert np.allclose(ours, smpl, atol=1e-5)


def test_without_rotation_they_are_equal():
    zero, shift, pelvis = torch.zeros(3), torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.0, 0.9, 0.0])
    assert torch.allclose(smpl_transl(zero, shift, pelvis), shift)
