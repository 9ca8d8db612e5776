import types

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from benchmarks.multiview import Similarity
from benchmarks.pose2sim import JOINTS, place, save_joints, seen_from
from hashhuman.data.camera import Camera
from hashhuman.data.files import load_json, load_npz, save_npz
from preprocess.keypoints.points import NAMES, Keypoints, points_path

SIMILARITY = Similarity(1.25, Rotation.from_rotvec([0.4, 2.0, -0.7]).as_matrix(), np.array([0.5, -1.0, 3.0]))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def cameras():
    views = {}
    for name, angle in (("cam01", 0), ("cam02", 80), ("cam03", 170), ("cam04", 260)):
        R = torch.from_numpy(Rotation.from_euler("y", angle, degrees=True).as_matrix()).float()
        K = torch.tensor([[1100.0, 0, 360], [0, 1100, 640], [0, 0, 1]])
        views[name] = Camera(K, R, torch.tensor([0.0, 0, 4]), 1280, 720)
    return views


def test_the_similarity_folds_into_the_camera(cameras, rng):
    points = rng.normal(size=(20, 3)) * 0.5
    inverse = Similarity(
        1 / SIMILARITY.scale, SIMILARITY.R.T, -SIMILARITY.R.T @ SIMILARITY.t / SIMILARITY.scale
    )  # so that the points lie before the cameras once they are placed
    theirs = torch.from_numpy(inverse(points)).float()
    for camera in cameras.values():
        expected = camera.project(torch.from_numpy(points).float())
        found = seen_from(camera, SIMILARITY).project(theirs)
        torch.testing.assert_close(found[:, :2], expected[:, :2], rtol=0, atol=0.01)
        torch.testing.assert_close(found[:, 2], expected[:, 2] / SIMILARITY.scale)
        R = seen_from(camera, SIMILARITY).R
        torch.testing.assert_close(R @ R.T, torch.eye(3), rtol=0, atol=1e-5)


def test_places_a_subject_by_joint_names(tmp_path, rng):
    """Joints in another order, one frame wrong, and frames that are every second picture from the tenth on."""
    pictures = list(range(10, 30, 2))
    x = rng.normal(size=(10, 12, 3)) * 0.4
    y = np.full((40, 12, 3), np.nan)
    y[pictures] = SIMILARITY(x)
    y[pictures[3]] += [0.1, 0, 0]
    order = rng.permutation(12)
    names = np.array(["pelvis", *np.array(JOINTS)[order]])
    fitted = np.concatenate([np.zeros((10, 1, 3)), x[:, order]], 1)
    save_npz(tmp_path / "body_fit.npz", {"frames": np.arange(10), "joints": fitted, "joint_names": names})
    save_npz(tmp_path / "joints.npz", {"pictures": np.arange(40), "names": np.array(JOINTS), "joints": y})
    subject = types.SimpleNamespace(root=tmp_path, meta={"video": {"pictures": pictures}})

    found, report = place(subject, tmp_path)
    assert found.scale == pytest.approx(1.25, rel=0.01)
    np.testing.assert_allclose(found.R, SIMILARITY.R, atol=0.01)
    assert report["median_mm"] < 10 < report["mean_mm"] < 25
    assert report["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)  # a shifted frame is no wrong pose


def test_triangulates_the_cameras_points(tmp_path, cameras, rng, capsys):
    points = rng.normal(size=(3, len(NAMES), 3)) * 0.3
    for name, camera in cameras.items():
        keypoints = Keypoints.empty([0, 1, 2])
        keypoints.detected[:] = True
        keypoints.visibility[:] = 0.9
        keypoints.image_points[:] = camera.project(torch.from_numpy(points).float())[..., :2].numpy()
        if name == "cam03":
            keypoints.image_points[1, NAMES.index("left_knee")] += 300  # wrong, but said to be seen
        if name == "cam04":
            keypoints.detected[2] = False
        keypoints.save(points_path(tmp_path / name))
    save_joints(tmp_path / "joints.npz", tmp_path, cameras)
    found = load_npz(tmp_path / "joints.npz")
    np.testing.assert_allclose(found["joints"], points[:, [NAMES.index(name) for name in JOINTS]], atol=1e-4)
    report = load_json(tmp_path / "reprojection.json")
    assert report["points"]["p99"] < 0.05 and report["joints_found"] == 1
    assert report["points"]["rejected"] == pytest.approx(1 / (11 * 33))
    assert '"cam03"' in capsys.readouterr().out
