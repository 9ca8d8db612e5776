"""Poses of Anny's old rig move the free body as the package itself moves the old model."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.anny import AnnyBody, bone_at_joint
from hashhuman.body.template import SMPL_JOINTS
from preprocess.body_fit.geometry import axis_angle_from_matrix
from preprocess.body_fit.source import anny_rig

SHAPE = np.array([0.7, 0.6, 0.5, 0.4, 0.6, 0.3])
FRAMES = 5
LIMBS = ("leg", "foot", "spine", "neck", "head", "clavicle", "shoulder", "arm", "wrist", "pelvis")


class Old:
    """The old model, posed by the package: `bones` turn at random, the root about its usual place before a camera."""

    def __init__(self, bones: list[str], turn: float):
        model = anny_rig._model()
        self.labels, rng = list(model.bone_labels), np.random.default_rng(0)
        vectors = np.zeros((FRAMES, len(self.labels), 3))
        chosen = [self.labels.index(bone) for bone in bones]
        vectors[:, chosen] = rng.normal(0, turn, (FRAMES, len(chosen), 3))
        vectors[:, 0] = rng.normal([np.pi / 2, 0, 0], 0.3, (FRAMES, 3))  # z up to y down
        self.local = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(FRAMES, -1, 3, 3)
        poses = torch.eye(4).repeat(FRAMES, len(self.labels), 1, 1)
        poses[..., :3, :3] = torch.from_numpy(self.local)
        shape = {name: torch.full((FRAMES,), value) for name, value in zip(anny_rig.SHAPE, SHAPE)}
        with torch.no_grad():
            posed = model(pose_parameters=poses, phenotype_kwargs=shape)
        apart = torch.tensor([0.1, -0.5, 3.0]) - posed["bone_poses"][:, self.labels.index("head"), None, :3, 3]
        self.heads = (posed["bone_poses"][..., :3, 3] + apart).double().numpy()
        self.vertices = (posed["vertices"] + apart).double().numpy()
        self.vertex = {int(base): i for i, base in enumerate(model.base_mesh_vertex_indices)}


@pytest.fixture(scope="module")
def free() -> AnnyBody:
    return AnnyBody()


def posed(free: AnnyBody, old: Old) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints and vertices of the free body (m, camera axes), and the joints that it should have."""
    rotations, joints = anny_rig.smpl_motion(old.local, SHAPE, old.heads[:, 0])
    template = free.template(torch.from_numpy(SHAPE).float())
    pose = axis_angle_from_matrix(torch.from_numpy(rotations)).float()
    root, pose[:, 0] = torch.from_numpy(rotations[:, 0]).float(), 0
    transforms = template.bone_transforms(pose)
    at = transforms[..., :3, 3] + (transforms[..., :3, :3] @ template.joints[..., None])[..., 0]
    move = torch.from_numpy(joints[:, :1]).float()
    own, skin = ((x - template.joints[0]) @ root.mT + move for x in (at, template.pose_vertices(pose)))
    return own.double().numpy(), skin.double().numpy(), joints


def test_joints_are_exact_where_one_bone_moves_a_joint(free):
    old = Old([bone_at_joint(joint) for joint in SMPL_JOINTS if joint != "pelvis" and "hand" not in joint], 0.3)
    own, skin, joints = posed(free, old)
    heads = old.heads[:, [old.labels.index(bone_at_joint(joint)) for joint in SMPL_JOINTS]]
    assert np.linalg.norm(joints[:, 1:] - heads[:, 1:], axis=-1).max() < 1e-5
    assert np.linalg.norm(own[:, 1:] - heads[:, 1:], axis=-1).max() < 1e-5
    assert 0.05 < np.linalg.norm(joints[:, 0] - heads[:, 0], axis=-1).max() < 0.1  # their root bones differ
    same = old.vertices[:, [old.vertex[int(base)] for base in free._base_vertices]]
    assert np.linalg.norm(skin - same, axis=-1).mean() < 0.004


def test_bones_that_the_free_body_lacks_cost_little(free):
    """Every bone of trunk and limbs turns by 11 degrees about each axis, more than any person can."""
    anny = anny_rig._model()
    old = Old([label for label in anny.bone_labels if any(part in label for part in LIMBS)], 0.2)
    own, skin, joints = posed(free, old)
    assert np.linalg.norm(own - joints, axis=-1).mean() < 0.02
    same = old.vertices[:, [old.vertex[int(base)] for base in free._base_vertices]]
    assert np.linalg.norm(skin - same, axis=-1).mean() < 0.02


def test_copied_poses_would_be_wrong(free):
    """The trap: angles in the bones' own axes are not angles in the body's."""
    old = Old([bone_at_joint(joint) for joint in SMPL_JOINTS if joint.endswith(("shoulder", "elbow"))], 0.3)
    rotations, _ = anny_rig.smpl_motion(old.local, SHAPE, old.heads[:, 0])
    elbow = SMPL_JOINTS.index("left_elbow")
    copied = old.local[:, old.labels.index(bone_at_joint("left_elbow"))]
    apart = Rotation.from_matrix(np.swapaxes(copied, -1, -2) @ rotations[:, elbow]).magnitude()
    turned = Rotation.from_matrix(rotations[:, elbow]).magnitude()
    np.testing.assert_allclose(turned, Rotation.from_matrix(copied).magnitude(), atol=1e-5)  # the same angle
    assert np.rad2deg(apart).max() > 20  # about another axis
