"""Compares the body with skinning in plain loops; checks its gradients and its landmarks."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hashhuman.body.anny import AnnyBody
from hashhuman.body.model import files_of, settings_of
from hashhuman.body.smpl.body import SmplBody, SmplxBody
from hashhuman.body.template import SMPL_JOINTS
from tests.smpl_files import posed_by_hand

MODEL = "SMPL_NEUTRAL.pkl"


@pytest.fixture(scope="module")
def anny_smpl(anny_tree: Path) -> SmplBody:
    return SmplBody(anny_tree, MODEL)


def random_poses(joints: int, frames: int, seed: int = 0) -> torch.Tensor:
    poses = 0.6 * torch.randn(frames, joints, 3, generator=torch.Generator().manual_seed(seed))
    poses[:, 0] = 0
    poses[0, 1] = 0
    return poses


def check_posing(body: SmplBody, arrays: dict[str, np.ndarray], frames: int) -> None:
    """Compares joints, and vertices with and without pose blend shapes, of several poses at once."""
    betas = torch.linspace(-1.5, 2, len(body.shape_names))
    template, poses = body.template(betas), random_poses(len(body.parents), frames)
    bent, plain = body.pose_vertices(template, poses), template.pose_vertices(poses)
    bones = template.bone_transforms(poses)
    for frame in range(frames):
        joints, vertices = posed_by_hand(arrays, betas.numpy(), poses[frame].numpy())
        np.testing.assert_allclose(bent[frame], vertices, atol=2e-5)
        unbent = posed_by_hand(arrays, betas.numpy(), poses[frame].numpy(), bend=False)[1]
        np.testing.assert_allclose(plain[frame], unbent, atol=2e-5)
        assert abs(unbent - vertices).max() > 5e-3
        found = bones[frame, :, :3, :3] @ template.joints[..., None] + bones[frame, :, :3, 3:]
        np.testing.assert_allclose(found[..., 0], joints, atol=2e-5)


def test_the_toy_is_posed_as_by_hand(tree: Path, toy_model):
    check_posing(SmplBody(tree, MODEL), toy_model, 4)


def test_the_free_body_in_smpls_format_is_posed_as_by_hand(anny_smpl: SmplBody, anny_model):
    assert anny_smpl.joint_names == SMPL_JOINTS
    check_posing(anny_smpl, anny_model, 2)


def test_rest_is_the_mean_body(tree: Path, toy_template):
    body = SmplBody(tree, MODEL)
    template = body.template(body.shape_mean)
    torch.testing.assert_close(template.vertices, toy_template.vertices)
    torch.testing.assert_close(template.joints, toy_template.joints, atol=1e-5, rtol=0)
    torch.testing.assert_close(template.uv, toy_template.uv)
    torch.testing.assert_close(body.pose_vertices(template, torch.zeros(5, 3)), template.vertices)
    assert template.parents == toy_template.parents and template.faces.dtype == torch.int64


def test_bases_yield_the_template(tree: Path):
    body, shape = SmplBody(tree, MODEL), torch.tensor([0.5, -1.0, 2.0])
    template, some = body.template(shape), torch.tensor([3, 11])
    torch.testing.assert_close(torch.einsum("k,kjc->jc", body.basis(shape), body.joint_basis()), template.joints)
    chosen = torch.einsum("k,kvc->vc", body.basis(shape), body.vertex_basis(some))
    torch.testing.assert_close(chosen, template.vertices[some])


def test_gradients_of_shape_and_pose(tree: Path):
    body = SmplBody(tree, MODEL)
    for name in ("_vertices", "_joints", "posedirs", "lbs_weights"):
        setattr(body, name, getattr(body, name).double())
    body.uv = None

    def posed(shape: torch.Tensor, poses: torch.Tensor) -> torch.Tensor:
        return body.pose_vertices(body.template(shape), poses)

    shape = torch.tensor([0.3, -0.7, 0.1], dtype=torch.double, requires_grad=True)
    for poses in (torch.zeros(5, 3), random_poses(5, 1)[0]):
        assert gradcheck(posed, (shape, poses.double().requires_grad_()))


def test_landmarks_lie_where_the_free_body_has_them(anny: AnnyBody, anny_smpl: SmplBody):
    """Anny's authors made regressors of COCO's points; landmarks from geometry alone differ by a few centimetres."""
    names = [
        f"{side}_{name}"
        for side in ("left", "right")
        for name in (
            "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "big_toe", "pinky_knuckle",
            "index_knuckle", "thumb_knuckle",
        )
    ] + ["nose"]  # fmt: skip

    def places(body, shape: torch.Tensor) -> torch.Tensor:
        return torch.einsum("k,kljc->lc", body.basis(shape), body.landmark_basis(tuple(names))[..., :3])

    away = (places(anny_smpl, anny_smpl.shape_mean) - places(anny, anny.shape_mean)).norm(dim=-1)
    assert away.max() < 0.04 and away.mean() < 0.02
    torch.testing.assert_close(anny_smpl.landmark_basis(tuple(names))[0, :, :, 3].sum(1), torch.ones(len(names)))
    with pytest.raises(KeyError):
        anny_smpl.landmark_basis(("beard",))


def test_posed_landmarks_move_with_the_surface(anny_smpl: SmplBody):
    shape, poses = torch.linspace(-1, 1, 3), random_poses(24, 1, seed=3)[0]
    template = anny_smpl.template(shape)
    bones, vertices = template.bone_transforms(poses), template.pose_vertices(poses)
    moments = torch.einsum("k,kljc->ljc", anny_smpl.basis(shape), anny_smpl.landmark_basis(("left_heel", "left_knee")))
    heel, knee = torch.einsum("jab,ljb->la", bones[:, :3], moments)
    assert (vertices - heel).norm(dim=-1).min() < 1e-5
    index = SMPL_JOINTS.index("left_knee")
    torch.testing.assert_close(knee, bones[index, :3, :3] @ template.joints[index] + bones[index, :3, 3])


def test_openposes_points_come_from_the_users_regressor(anny_tree: Path, anny_model, tmp_path: Path):
    rng, regressor = np.random.default_rng(0), np.zeros((25, len(anny_model["v_template"])))
    for row in regressor:
        row[rng.choice(len(row), 6, replace=False)] = rng.dirichlet(np.ones(6))
    for path in anny_tree.glob("SMPL_NEUTRAL.pkl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    np.save(tmp_path / "J_regressor_body25.npy", regressor)
    body = SmplBody(tmp_path, MODEL)
    points = regressor @ anny_model["v_template"]
    for name, row in (("nose", 0), ("right_wrist", 4), ("left_knee", 13), ("left_big_toe", 19), ("right_heel", 24)):
        found = body.landmark_basis((name,))[0, 0].sum(0)
        np.testing.assert_allclose(found, [*points[row], 1], atol=1e-4)
    assert body.landmark_basis(("left_thumb_knuckle",)).shape == (4, 1, 24, 4)  # which OpenPose lacks


def test_a_body_without_smpls_joints_has_no_landmarks(tree: Path):
    with pytest.raises(KeyError, match="nose"):
        SmplBody(tree, MODEL).landmark_basis(("nose",))


def test_stamps_count_content_and_not_place(tree: Path):
    def settings(**arguments: str) -> dict:
        return settings_of(functools.partial(SmplBody, **arguments))

    assert settings(root="a", model="x.pkl") == settings(root="b", model="x.pkl") != settings(root="a", model="y.pkl")
    assert SmplxBody.name == "smplx"
    files = files_of(functools.partial(SmplBody, root=str(tree), model=MODEL))
    assert files[0] == tree / MODEL and {path.name for path in files[1:]} == {
        "smpl_uv.obj", "faces.npy", "parents.npy", "weights.npy",
    }  # fmt: skip
    SmplBody(tree, MODEL)  # its conversion is no source
    assert files_of(functools.partial(SmplBody, root=str(tree), model=MODEL)) == files
    assert files_of(functools.partial(AnnyBody, prior=None)) == [] == files_of(lambda: AnnyBody())
