"""Parts by the names of joints."""

import pytest

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_joints, part_of_vertices
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from tests import toy


def test_each_smpl_joint_lies_in_one_of_instant_nvrs_parts():
    indices = {
        "body": [0, 3, 6, 9, 13, 14],
        "leg": [1, 2, 4, 5, 7, 8, 10, 11],
        "head": [12, 15],
        "larm": [16, 18, 20, 22],
        "rarm": [17, 19, 21, 23],
    }
    found = part_of_joints(SMPL_JOINTS, INSTANT_NVR_PARTS)
    for index, joints in enumerate(indices.values()):
        assert [j for j, part in enumerate(found) if part == index] == joints
    assert list(indices) == list(INSTANT_NVR_PARTS)


def test_vertices_follow_their_strongest_joint(toy_template):
    expected = [0] * 8 + [2] * 8 + [3] * 8 + [4] * 8 + [1] * 8
    assert part_of_vertices(toy_template, toy.PARTS).tolist() == expected


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": ["pelvis", "head"], "b": ["head"]}, r"exactly one part, unlike head \(in 2\), left_shoulder \(in 0\)"),
        ({"a": toy.JOINT_NAMES, "tail": ["tail1"]}, "none of the joints of the part 'tail'; its joints: pelvis, head"),
    ],
)
def test_bad_parts(parts, message: str):
    with pytest.raises(UserError, match=message):
        part_of_joints(toy.JOINT_NAMES, parts)
