"""Joints of SMPL-X and SMPL+H under SMPL's names, against an independent table of fingers."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.body.smpl import gather
from hashhuman.body.smpl.arrays import SmplArrays
from hashhuman.body.template import SMPL_JOINTS

HEAD, WRISTS = 15, {"left": 20, "right": 21}
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def family(face: bool, vertices: int = 30) -> SmplArrays:
    """A random model with the skeleton of SMPL-X (with a face) or SMPL+H."""
    parents, rng = list(PARENTS), np.random.default_rng(int(face))
    parents += [HEAD] * 3 * face
    for side in ("left", "right"):
        for _ in range(5):
            first = len(parents)
            parents += [WRISTS[side], first, first + 1]
    joints = len(parents)
    weights = rng.random((vertices, joints))
    return SmplArrays.checked(
        {
            "v_template": rng.normal(size=(vertices, 3)),
            "shapedirs": rng.normal(size=(vertices, 3, 12)),
            "posedirs": rng.normal(size=(vertices, 3, 9 * (joints - 1))),
            "J_regressor": rng.normal(size=(joints, vertices)),
            "weights": weights / weights.sum(1, keepdims=True),
            "f": np.arange(vertices).reshape(-1, 3),
            "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(joints)]),
        },
        Path("family.npz"),
    )


@pytest.mark.parametrize("face", [True, False])
def test_fingers_and_face_are_folded(face: bool):
    body = family(face)
    found = gather.gathered(body)
    assert found.joint_names == SMPL_JOINTS
    assert found.parents == (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
    left = 22 + 3 * face  # the first of 15 finger joints of the left hand; its middle finger starts three further
    np.testing.assert_array_equal(found.J_regressor[:22], body.J_regressor[:22])
    np.testing.assert_array_equal(found.J_regressor[22:], body.J_regressor[[left + 3, left + 18]])
    np.testing.assert_array_equal(found.weights[:, :15], body.weights[:, :15])
    head = body.weights[:, HEAD] + body.weights[:, 22:left].sum(1)
    np.testing.assert_allclose(found.weights[:, HEAD], head, atol=1e-6)
    np.testing.assert_allclose(found.weights[:, 22], body.weights[:, left : left + 15].sum(1), atol=1e-6)
    np.testing.assert_allclose(found.weights[:, 23], body.weights[:, left + 15 :].sum(1), atol=1e-6)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.posedirs[..., : 9 * 21], body.posedirs[..., : 9 * 21])
    assert found.posedirs.shape[-1] == 9 * 23 and not found.posedirs[..., 9 * 21 :].any()


def test_smpl_keeps_its_own_joints():
    body = gather.gathered(family(True))
    again = gather.gathered(body)
    assert again is body
    assert gather.member(24) == "SMPL" and gather.member(5) is None


def test_every_joint_of_the_family_has_one_of_smpls():
    for names in gather.FAMILY.values():
        assert {gather.joint_of(name) for name in names} == set(SMPL_JOINTS)
    assert gather.joint_of("right_thumb3") == "right_hand" and gather.joint_of("left_eye") == "head"
