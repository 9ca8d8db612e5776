"""Bones point where the source's bones point, and turn about themselves as they do."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.geometry import skinning
from preprocess.body_fit.init.retarget import LIMBS, alignment, measured_limbs, retarget, t_pose
from preprocess.body_fit.landmarks import LANDMARKS
from tests import toy
from tests.preprocess.body_fit.source.tools import PARENTS, Truth

INDEX = {name: i for i, name in enumerate(SMPL_JOINTS)}
SIDES = {"left": 1, "right": -1}
# SMPL-like bones at rest, on the left: other numbers than the code's own, a few degrees off
REST = {
    "hip": (0.03, -0.38, 0.0), "knee": (0.0, -0.4, -0.03), "shoulder": (0.26, 0, 0), "elbow": (0.25, 0, 0),
    "wrist": (0.08, 0, 0),
}  # fmt: skip


def pose_of(seed: int, spread: float = 0.5) -> np.ndarray:
    """Rotations (1, 24, 3, 3) of all joints, each against its parent."""
    vectors = np.random.default_rng(seed).normal(0, spread, (24, 3))
    return Rotation.from_rotvec(vectors).as_matrix()[None]


def world(rotations: np.ndarray) -> list[np.ndarray]:
    turned: list[np.ndarray] = []
    for j, parent in enumerate(PARENTS):
        turned.append(rotations[j] if parent < 0 else turned[parent] @ rotations[j])
    return turned


def apply(body, rotations: np.ndarray, directions: dict) -> tuple[np.ndarray, torch.Tensor]:
    """The body's joints (m, about the pelvis) and bone transforms under a source's rotations."""
    template = body.template(body.shape_mean)
    given = torch.from_numpy(rotations).float()
    root, pose = retarget(given, SMPL_JOINTS, PARENTS, template, alignment(template, directions))
    assert not pose[:, 0].any()
    turns = skinning.axis_angle_to_matrix(pose)
    turns[:, 0] = root
    transforms = skinning.forward_kinematics(turns, template.joints, list(template.parents))[0]
    joints = skinning.transform(transforms, template.joints).numpy()
    return joints - joints[0], transforms


def limbs():
    for side, sign in SIDES.items():
        for base, end in LIMBS.items():
            yield f"{side}_{base}", f"{side}_{end}", np.array(REST[base]) * [sign, 1, 1]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_limbs_point_where_the_sources_do(body, seed: int):
    rotations = pose_of(seed)
    turned = world(rotations[0])
    measured = {start: torch.tensor(bone).float() for start, _, bone in limbs()}
    for directions, allowed in ((measured, 0.05), (t_pose(SMPL_JOINTS), 3.0)):  # degrees
        joints, _ = apply(body, rotations, directions)
        for start, end, bone in limbs():
            expected = turned[INDEX[start]] @ bone
            assert angle(joints[INDEX[end]] - joints[INDEX[start]], expected) < allowed, (start, seed)


def test_at_rest_the_body_stands_in_a_t_pose_with_palms_down(body):
    joints, transforms = apply(body, np.eye(3)[None].repeat(24, 0)[None], t_pose(SMPL_JOINTS))
    left = joints[INDEX["left_wrist"]] - joints[INDEX["left_shoulder"]]
    assert angle(left, np.array([1.0, 0, 0])) < 0.01
    moments = torch.einsum("k,kljc->ljc", body.basis(body.shape_mean), body.landmark_basis(LANDMARKS))
    points = dict(zip(LANDMARKS, torch.einsum("jab,ljb->la", transforms[:, :3], moments).numpy()))
    for side in SIDES:
        across = points[f"{side}_index_knuckle"] - points[f"{side}_pinky_knuckle"]
        assert angle(across, np.array([0.0, 0, 1])) < 20  # the thumb's side is ahead
        foot = points[f"{side}_big_toe"] - points[f"{side}_heel"]
        assert angle(foot, np.array([0.0, 0, 1])) < 12
    before = body.template(body.shape_mean).joints
    trunk = [INDEX[name] for name in ("spine1", "spine3", "neck", "head", "left_collar", "left_shoulder")]
    np.testing.assert_allclose(joints[trunk], (before - before[0])[trunk], atol=1e-6)  # as it was


def test_a_bone_that_turns_about_itself_does_so_in_the_body(body):
    """The upper arm turned by 40 degrees about its own axis; whatever hangs on it turns about the same line."""
    rotations = np.eye(3)[None].repeat(24, 0)[None]
    _, still = apply(body, rotations, t_pose(SMPL_JOINTS))
    rotations[0, INDEX["left_shoulder"]] = Rotation.from_euler("x", 40, degrees=True).as_matrix()
    _, turned = apply(body, rotations, t_pose(SMPL_JOINTS))
    for name in ("left_shoulder", "left_elbow", "left_wrist"):
        turn = turned[INDEX[name], :3, :3] @ still[INDEX[name], :3, :3].T
        np.testing.assert_allclose(Rotation.from_matrix(turn.numpy()).as_rotvec(degrees=True), [40, 0, 0], atol=1e-3)


def test_alignment_adds_no_twist(body):
    """Along an arm, each bend is the least rotation beyond the joint before: its axis is square to the bone."""
    template = body.template(body.shape_mean)
    aligned = alignment(template, t_pose(SMPL_JOINTS))
    for name in ("left_shoulder", "right_elbow", "left_wrist", "right_knee"):
        j = INDEX[name]
        parent = aligned[template.parents[j]]
        end = INDEX[name.split("_")[0] + "_" + LIMBS[name.split("_")[1]]]
        bone = (parent @ (template.joints[end] - template.joints[j])).numpy()
        bend = Rotation.from_matrix((aligned[j] @ parent.T).numpy()).as_rotvec()
        assert abs(bend @ bone) < 1e-5 * np.linalg.norm(bone)


def test_poses_of_the_same_rest_transfer_as_they_are(body):
    rotations = pose_of(3)
    template = body.template(body.shape_mean)
    aligned = alignment(template, {})
    np.testing.assert_array_equal(aligned, torch.eye(3).expand(24, 3, 3))
    root, pose = retarget(torch.from_numpy(rotations).float(), SMPL_JOINTS, PARENTS, template, aligned)
    np.testing.assert_allclose(root[0], rotations[0, 0], atol=1e-6)
    expected = Rotation.from_matrix(rotations[0, 1:]).as_rotvec()
    np.testing.assert_allclose(pose[0, 1:], expected, atol=1e-5)


def test_a_body_of_other_joints_takes_those_that_it_has():
    template = toy.template()
    rotations = pose_of(4, 0.3)
    turned = world(rotations[0])
    root, pose = retarget(
        torch.from_numpy(rotations).float(), SMPL_JOINTS, PARENTS, template, alignment(template, t_pose(SMPL_JOINTS))
    )
    matrices = skinning.axis_angle_to_matrix(pose[0])
    for j, name in enumerate(template.joint_names[1:], 1):  # all of its joints hang on the pelvis
        np.testing.assert_allclose(root[0] @ matrices[j], turned[INDEX[name]], atol=1e-5)


def test_limbs_are_measured_in_the_rest_pose():
    truth = Truth(0)
    joints = truth.joints.copy()
    joints[:, INDEX["right_hand"]] = np.nan
    joints[0, INDEX["left_elbow"]] = np.nan
    limbs = measured_limbs(truth.matrices, joints, SMPL_JOINTS, PARENTS)
    assert len(limbs) == 9 and "right_wrist" not in limbs
    np.testing.assert_allclose(limbs["left_shoulder"], truth.rest[INDEX["left_elbow"]], atol=1e-5)
    np.testing.assert_allclose(limbs["right_knee"], truth.rest[INDEX["right_ankle"]], atol=1e-5)
