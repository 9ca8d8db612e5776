import dataclasses
import types

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from benchmarks.pose2sim import JOINTS, as_json, from_json, letterboxed, place, save_truth, shrunk
from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_json, load_npz, read_image, save_npz, write_image
from preprocess.calibration.cameras import Calibration
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.multiview.triangulation import Similarity
from preprocess.skeleton import NAMES

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


def test_places_a_subject_by_joint_names(tmp_path, rng):
    """Joints have another order, one frame is wrong, and frames are every second picture from the tenth on."""
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

    found, report = place(subject, tmp_path / "joints.npz")
    assert found.scale == pytest.approx(1.25, rel=0.01)
    np.testing.assert_allclose(found.R, SIMILARITY.R, atol=0.01)
    assert report["median_mm"] < 10 < report["mean_mm"] < 25
    assert report["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)  # a shifted frame is no wrong pose


def test_shrinking_rounds_each_side(cameras):
    """725 x 1280 becomes 362 x 640: a point in the middle of the picture stays there."""
    camera = dataclasses.replace(cameras["cam01"], width=725)
    small = shrunk(camera, 640)
    assert (small.height, small.width) == (640, 362)
    middle = torch.linalg.inv(camera.K) @ torch.tensor([362.0, 639.5, 1])
    torch.testing.assert_close((small.K @ middle)[:2], torch.tensor([180.5, 319.5]))
    back = from_json(as_json(small))
    torch.testing.assert_close(back.K, small.K)
    assert (back.height, back.width) == (640, 362)


@pytest.fixture
def subjects(tmp_path, cameras, rng):
    """Subjects of three frames, and the positions of their points. The calibration of cam02 is 0.6 degrees off."""
    points = rng.normal(size=(3, len(NAMES), 3)) * 0.3
    for name, camera in cameras.items():
        keypoints = Keypoints.empty([0, 1, 2])
        keypoints.detected[:] = True
        keypoints.visibility[:] = 0.9
        true = camera
        if name == "cam02":
            turn = torch.from_numpy(Rotation.from_rotvec([0.01, 0, 0]).as_matrix()).float()
            true = dataclasses.replace(camera, R=turn @ camera.R, T=turn @ camera.T)
        keypoints.image_points[:] = true.project(torch.from_numpy(points).float())[..., :2].numpy()
        if name == "cam03":
            keypoints.image_points[1, NAMES.index("left_knee")] += 300  # wrong, but said to be seen
        if name == "cam04":
            keypoints.detected[2] = False
        keypoints.save(points_path(tmp_path / name))
        writer = SubjectWriter(tmp_path / name)
        image = np.full((1280, 720, 3), 200, np.uint8)
        paths = [[writer.write_image(0, frame, image, ".jpg")] for frame in range(3)]
        for frame in range(3):
            mask = np.zeros((1280, 720), np.uint8)
            mask[:, :360] = 255
            write_image(writer.mask_path(0, frame), mask)
        writer.write_annots([camera], [np.zeros(5)], paths)
    return tmp_path, points


def test_preparing_writes_the_truth(subjects, cameras, capsys):
    folder, points = subjects
    save_truth(folder / "truth", folder, cameras, every=2, long_side=320)
    report = load_json(folder / "truth/reprojection.json")
    assert report["refined"]["p90_px"] < 0.3 < 3 < report["calibrated"]["p90_px"]
    assert report["turned_degrees"]["cam02"] == pytest.approx(np.degrees(0.01), rel=0.1)
    assert report["refined"]["rejected"] == pytest.approx(1 / (11 * 33))
    joints = load_npz(folder / "truth/joints_refined.npz")["joints"]
    np.testing.assert_allclose(joints, points[:, [NAMES.index(name) for name in JOINTS]], atol=3e-3)
    assert '"turned_degrees"' in capsys.readouterr().out

    written = load_json(folder / "truth/cameras.json")
    camera = from_json(written["calibrated"]["cam03"])
    expected = cameras["cam03"].scaled(0.25)
    for name in ("K", "R", "T"):
        torch.testing.assert_close(getattr(camera, name), getattr(expected, name), rtol=1e-5, atol=1e-5)
    assert sorted(p.name for p in (folder / "truth/images/cam03").iterdir()) == ["000000.png", "000002.png"]
    image = read_image(folder / "truth/images/cam03/000002.png")
    assert image.shape == (320, 180, 3)
    assert abs(image[:, :89].astype(int) - 200).max() <= 2 and not image[:, 91:].any()


@pytest.fixture
def tall():
    K = np.array([[1000.0, 0, 500], [0, 1020, 1000], [0, 0, 1]])
    return Calibration("left", K, np.zeros(5), np.eye(3), np.zeros(3), (1920, 1088))


def test_letterboxing_moves_pictures_as_resizing_and_padding_does(tall):
    image = np.zeros((1920, 1088), np.float32)
    image[300:304, 700:704] = 1  # centred on (701.5, 301.5)
    boxed = np.pad(cv2.resize(image, (544, 960), interpolation=cv2.INTER_AREA), ((20, 20), (0, 0)))
    found = [np.average(grid, weights=boxed) for grid in np.indices(boxed.shape)][::-1]
    new = letterboxed(tall, 1000, 544)
    ray = np.linalg.solve(tall.K, [701.5, 301.5, 1])
    np.testing.assert_allclose((new.K @ ray)[:2], found, atol=1e-6)
    assert new.size == (1000, 544)


def test_letterboxing_to_an_equal_size_changes_nothing(tall):
    np.testing.assert_array_equal(letterboxed(tall, 1920, 1088).K, tall.K)


def test_pictures_higher_than_the_box_are_refused(tall):
    with pytest.raises(UserError, match="calibrated at 1088 x 1920"):
        letterboxed(tall, 1000, 1088)
