"""The body in a subject folder: what is missing is derived, what is wrong is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import files
from tests import smpl_files, toy
from tests.hashhuman.data.subject.change import edit


def skinned(body, frame: int) -> np.ndarray:
    """The toy's world vertices from matrices that scipy made: every toy limb hangs from the pelvis."""
    pose = toy.pose(frame)
    rotations = Rotation.from_rotvec(pose.body_pose.numpy()).as_matrix()
    joints, rest = body.joints.numpy(), body.vertices.numpy()
    moved = np.einsum("jab,vjb->vja", rotations, rest[:, None] - joints) + joints
    posed = np.einsum("vj,vja->va", body.lbs_weights.numpy(), moved)
    return posed @ Rotation.from_rotvec(pose.orient.numpy()).as_matrix().T + pose.transl.numpy()


def test_vertices_agree_with_scipy(toy_subject: Subject, toy_template):
    np.testing.assert_allclose(toy_subject.vertices(4), skinned(toy_template, 4), atol=2e-6)


def test_everything_derivable_is_derived(toy_folder: Path, tmp_path: Path):
    full, bare = Subject(toy_folder), Subject(toy.write_subject(tmp_path / "bare", n_frames=3, derived=False))
    np.testing.assert_allclose(bare.vertices(2), full.vertices(2), atol=1e-6)
    np.testing.assert_allclose(bare.posed_vertices(2), full.posed_vertices(2), atol=1e-6)
    np.testing.assert_allclose(bare.big_pose_vertices(), full.big_pose_vertices(), atol=1e-6)
    uv = bare.template().uv
    assert uv is not None
    assert uv.shape == (40, 2)
    assert 0 <= uv.min() <= uv.max() <= 1
    assert bare.uv_volume()[0].shape[:3] == bare.blend_weight_volume()[0].shape[:3]


@pytest.mark.parametrize("left", ["bigpose_vertices", "smpl_vertices"])
def test_rest_vertices_come_from_posed_ones(toy_copy: Path, toy_template, left: str):
    (toy_copy / "smpl_lbs/tvertices.npy").unlink()
    if left == "smpl_vertices":
        (toy_copy / "smpl_lbs/bigpose_vertices.npy").unlink()
    torch.testing.assert_close(Subject(toy_copy).template().vertices, toy_template.vertices, atol=1e-5, rtol=0)


def test_big_pose_spreads_the_leg(toy_subject: Subject, toy_template):
    """The left leg's far end turns by 30 degrees about z, outwards; nothing else moves."""
    rest, spread = toy_template.vertices.numpy(), toy_subject.big_pose_vertices()
    foot = np.flatnonzero(toy_template.lbs_weights[:, 4] == 1)
    hip = toy_template.joints[4].numpy()
    turned = Rotation.from_euler("z", 30, degrees=True).apply(rest[foot] - hip) + hip
    np.testing.assert_allclose(spread[foot], turned, atol=1e-6)
    assert spread[foot, 0].mean() > rest[foot, 0].mean()
    np.testing.assert_allclose(spread[:32], rest[:32], atol=1e-7)


def test_texture_coordinates_from_a_volume(toy_copy: Path):
    """ZJU-MoCap has texture coordinates only as a volume."""
    subject = Subject(toy_copy)
    volume, _, _ = subject.uv_volume()
    SubjectWriter(toy_copy).write_uv_volume(volume)
    (toy_copy / "smpl_lbs/uv.npy").unlink()
    read = Subject(toy_copy).template().uv
    assert read is not None
    assert subject.template().uv is not None
    distance = (read[:, None] - subject.template().uv[None]).norm(dim=-1).amin(1)
    assert distance.max() < 1e-6  # each is the coordinate of a vertex within a voxel
    np.testing.assert_array_equal(Subject(toy_copy).uv_volume()[0], volume)


def test_smpl_meta(toy_copy: Path, tmp_path: Path, toy_template):
    meta = tmp_path / "smpl-meta"
    meta.mkdir()
    for name in ("faces", "parents", "weights"):
        shutil.move(toy_copy / f"smpl_lbs/{name}.npy", meta / f"{name}.npy")
    files.save_npy(meta / "parents.npy", np.array([2**32 - 1, 0, 0, 0, 0], np.uint32))
    files.save_npy(meta / "faces.npy", toy_template.faces.numpy().astype(np.uint32))
    template = Subject(toy_copy, meta).template()
    assert template.parents == (-1, 0, 0, 0, 0)
    torch.testing.assert_close(template.faces, toy_template.faces)
    with pytest.raises(UserError, match=r"weights\.npy does not exist; name the folder .* data\.smpl_meta"):
        Subject(toy_copy).template()
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        Subject(toy_copy, tmp_path / "nowhere")


@pytest.mark.parametrize(("poses", "vertices"), [("params", "vertices"), ("new_params", "new_vertices")])
def test_the_names_of_neural_body(toy_copy: Path, toy_template, poses: str, vertices: str):
    expected = Subject(toy_copy).vertices(1)
    for old, new in (("smpl_params", poses), ("smpl_vertices", vertices), ("smpl_lbs", "lbs")):
        (toy_copy / old).rename(toy_copy / new)
    (toy_copy / "annots.npy").rename(toy_copy / "annots_new.npy")
    subject = Subject(toy_copy)
    assert subject.posed_frames == [0, 1]
    np.testing.assert_array_equal(subject.vertices(1), expected)
    torch.testing.assert_close(subject.template().vertices, toy_template.vertices)
    names = {path.relative_to(toy_copy).parts[0] for path in subject.sources(subject.pictures)}
    assert {poses, vertices, "lbs", "annots_new.npy"} <= names


def test_a_newer_fit_is_taken_with_its_own_vertices(toy_copy: Path):
    for name in ("params", "vertices"):
        (toy_copy / f"smpl_{name}").rename(toy_copy / name)
    shutil.copytree(toy_copy / "params", toy_copy / "new_params")
    edit(toy_copy / "new_params/1.npy", Th=np.array([[0.5, 0, 0]]))
    subject = Subject(toy_copy)
    np.testing.assert_array_equal(subject.pose(1).transl, [0.5, 0, 0])
    # there are no new_vertices: the old ones are those of the old poses
    moved = subject.vertices(1) - files.load_npy(toy_copy / "vertices/1.npy")
    np.testing.assert_allclose(
        moved, np.broadcast_to(np.array([0.5, 0, 0]) - toy.pose(1).transl.numpy(), (40, 3)), atol=1e-5
    )


def test_poses_without_the_root(toy_copy: Path):
    expected = Subject(toy_copy).pose(1)
    edit(toy_copy / "smpl_params/1.npy", poses=expected.body_pose[1:].reshape(1, -1).numpy())
    torch.testing.assert_close(Subject(toy_copy).pose(1).body_pose, expected.body_pose)


def test_the_body_comes_from_smpls_own_file(toy_copy: Path, toy_template, tmp_path: Path):
    """A folder of neural body without `lbs/`: joints and rest vertices are those of SMPL with the poses' shape."""
    arrays = smpl_files.model(toy_template)
    model = smpl_files.write_pickle(tmp_path / "models/SMPL_NEUTRAL.pkl", arrays)
    shutil.rmtree(toy_copy / "smpl_lbs")
    betas = np.array([0.7, -0.4])
    for frame in range(2):
        edit(toy_copy / f"smpl_params/{frame}.npy", shapes=betas[None])
    subject = Subject(toy_copy, model)
    rest = arrays["v_template"] + arrays["shapedirs"][..., :2] @ betas
    np.testing.assert_allclose(subject.template().vertices, rest, atol=1e-5)
    np.testing.assert_allclose(subject.template().joints, arrays["J_regressor"] @ rest, atol=1e-5)
    assert subject.template().parents == (-1, 0, 0, 0, 0)
    assert model in subject.sources(subject.pictures)
    edit(toy_copy / "smpl_params/0.npy", shapes=np.zeros((1, 9)))
    with pytest.raises(UserError, match="shapes must hold 1 to 3 finite numbers, not 1 x 9"):
        Subject(toy_copy, model).template()
    with pytest.raises(UserError, match=r"joints\.npy does not exist; name the folder .* or SMPL's file"):
        Subject(toy_copy).template()


def test_joint_names(toy_copy: Path, tmp_path: Path):
    (toy_copy / "subject.json").unlink()
    assert Subject(toy_copy).template().joint_names == tuple(f"joint_{i}" for i in range(5))
    lbs = toy_copy / "smpl_lbs"
    files.save_npy(lbs / "joints.npy", np.random.default_rng(0).normal(size=(24, 3)))
    files.save_npy(lbs / "parents.npy", np.arange(24) - 1)
    files.save_npy(lbs / "weights.npy", np.eye(24)[np.arange(40) % 24])
    assert Subject(toy_copy).template().joint_names == SMPL_JOINTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("smpl_lbs/joints.npy", np.zeros((5, 2)), "joints.npy must hold any x 3 numbers, not 5 x 2 of float64"),
        ("smpl_lbs/joints.npy", np.full((5, 3), np.inf), "not finite"),
        ("smpl_lbs/joints.npy", {"a": 1}, "not a dict"),
        ("smpl_lbs/weights.npy", np.zeros((40, 4)), "must hold any x 5"),
        ("smpl_lbs/weights.npy", np.zeros((40, 5)), "add up to one"),
        ("smpl_lbs/weights.npy", np.array([["x"] * 5] * 40), "must hold any x 5 numbers"),
        ("smpl_lbs/parents.npy", np.array([-1, 2, 0, 0, 0]), "before the joint itself"),
        ("smpl_lbs/parents.npy", np.array([-1, 0, 0]), "must hold 5 numbers"),
        ("smpl_lbs/faces.npy", np.array([[0, 1, 40]]), "does not have"),
        ("smpl_lbs/tvertices.npy", np.zeros((39, 3)), "must hold 40 x 3 numbers, not 39 x 3"),
        ("smpl_lbs/uv.npy", np.zeros((40, 3)), "must hold 40 x 2"),
        ("subject.json", {"joint_names": ["a"]}, "names 1 joints"),
    ],
)
def test_bad_body(toy_copy: Path, name: str, content, message: str):
    (files.save_json if name.endswith("json") else files.save_npy)(toy_copy / name, content)
    with pytest.raises(UserError, match=message) as caught:
        Subject(toy_copy).template()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3), "dictionary with poses, Rh and Th"),
        ({"poses": np.zeros((1, 15)), "Rh": np.zeros((1, 3))}, "dictionary with poses, Rh and Th"),
        ({"poses": np.zeros((1, 72)), "Rh": np.zeros((1, 3)), "Th": np.zeros((1, 3))}, "poses must hold 15 finite"),
        ({"poses": np.zeros((1, 15)), "Rh": np.full((1, 3), np.nan), "Th": np.zeros((1, 3))}, "Rh must hold 3 finite"),
        ({"poses": np.zeros((1, 15)), "Rh": np.zeros((1, 3)), "Th": "abc"}, "Th must hold 3"),
    ],
)
def test_bad_pose(toy_copy: Path, content, message: str):
    files.save_npy(toy_copy / "smpl_params/1.npy", content)
    with pytest.raises(UserError, match=message):
        Subject(toy_copy).pose(1)
    with pytest.raises(UserError, match=r"smpl_params/77\.npy does not exist"):
        Subject(toy_copy).pose(77)


def test_no_body_at_all(toy_copy: Path):
    for name in ("smpl_lbs/tvertices.npy", "smpl_lbs/bigpose_vertices.npy"):
        (toy_copy / name).unlink()
    shutil.rmtree(toy_copy / "smpl_vertices")
    with pytest.raises(UserError, match=r"has no body: .* run the body fit"):
        Subject(toy_copy).template()


def test_volumes_of_another_body(toy_copy: Path):
    writer = SubjectWriter(toy_copy)
    writer.write_blend_weight_volume(np.zeros((20, 20, 20, 6), np.float32))
    with pytest.raises(UserError, match="20 x 20 x 20 nodes does not fit the body"):
        Subject(toy_copy).blend_weight_volume()
    writer.write_blend_weight_volume(np.zeros((20, 20, 20, 25), np.float32))
    with pytest.raises(UserError, match="must hold any x any x any x 6 numbers"):
        Subject(toy_copy).blend_weight_volume()
