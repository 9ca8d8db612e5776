"""A body that is moved by a known similarity transform, and the cameras that are carried along."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from benchmarks.placing import named_joints, placement, seen_from, true_joints
from hashhuman.errors import UserError
from hashhuman.io.files import save_npz
from preprocess.multiview.triangulation import Similarity
from tests import toy

SIMILARITY = Similarity(1.25, Rotation.from_rotvec([0.4, 2.0, -0.7]).as_matrix(), np.array([0.5, -1.0, 3.0]))


@pytest.fixture
def joints():
    return named_joints(toy.template(), [toy.pose(frame) for frame in range(4)])


def test_joints_move_with_the_bodys_vertices():
    """A vertex that hangs on the head alone is as far from the head's joint as at rest, and the pelvis is the root."""
    body, pose = toy.template(), toy.pose(2)
    named = named_joints(body, [toy.pose(0), pose])
    top = int(torch.argmax(body.vertices[:, 1]))
    assert body.lbs_weights[top, 1] == 1
    at_rest = (body.vertices[top] - body.joints[1]).norm()
    assert np.linalg.norm(toy.world_vertices(body, 2)[top].numpy() - named["head"][1]) == pytest.approx(float(at_rest))
    np.testing.assert_allclose(named["pelvis"][1], pose.transl, atol=1e-6)  # its joint is the body's origin


def test_a_known_similarity_comes_back(joints, tmp_path):
    """The truth spells the names otherwise, in another order, and has a joint that the body lacks, and none of one."""
    spelt = {"head": "head", "L_hip": "left_hip", "R_shoulder": "right_shoulder", "pelvis": "pelvis"}
    positions = [SIMILARITY(joints[name].astype(float)) for name in spelt.values()]
    positions.append(np.full((4, 3), 9.0))
    save_npz(tmp_path / "truth.npz", {"names": np.array([*spelt, "L_toe"]), "joints": np.stack(positions, 1)})
    found, distance = placement(joints, true_joints(tmp_path))
    assert found.scale == pytest.approx(1.25, rel=1e-5)
    np.testing.assert_allclose(found.R, SIMILARITY.R, atol=1e-5)
    np.testing.assert_allclose(found.t, SIMILARITY.t, atol=1e-5)
    assert distance == pytest.approx(0, abs=1e-5)


def test_one_transform_serves_the_whole_sequence(joints):
    """Half of the frames are 10 cm to the right and half to the left: the distance to their middle is what is left."""
    true = {name: SIMILARITY(x.astype(float)) for name, x in joints.items()}
    to_and_fro = np.array([[0.1], [-0.1], [-0.1], [0.1]]) * SIMILARITY.R[:, 1]
    for name in true:
        true[name] = true[name] + to_and_fro
    found, distance = placement(joints, true)
    assert distance == pytest.approx(0.1, rel=0.02)
    assert found.scale == pytest.approx(1.25, rel=0.02)


def test_too_few_common_joints_are_refused(joints):
    with pytest.raises(UserError, match=r"share the joints \['head', 'pelvis'\]: placing it needs 3"):
        placement(joints, {name: joints[name] for name in ("pelvis", "head")})


@pytest.mark.parametrize("index", range(3))
def test_a_camera_that_is_carried_along_sees_the_same(index):
    """The toy lies before the camera in the other world; the inverse transform leads to its own."""
    camera, points = toy.camera(index), toy.world_vertices(toy.template(), 1)
    inverse = Similarity(1 / SIMILARITY.scale, SIMILARITY.R.T, -SIMILARITY.R.T @ SIMILARITY.t / SIMILARITY.scale)
    expected = camera.project(points)
    carried = seen_from(camera, SIMILARITY)
    found = carried.project(torch.from_numpy(inverse(points.double().numpy())).float())
    torch.testing.assert_close(found[:, :2], expected[:, :2], rtol=0, atol=0.01)
    torch.testing.assert_close(found[:, 2], expected[:, 2] / SIMILARITY.scale)
    torch.testing.assert_close(carried.R @ carried.R.T, torch.eye(3), rtol=0, atol=1e-5)
