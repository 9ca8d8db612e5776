"""Calibrations as OpenCV and EasyMocap write them; OpenCV's own writer makes the files."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.io.files import save_json
from preprocess.calibration.cameras import Calibration, match_recordings
from preprocess.calibration.read import calibration_files, read_calibration
from preprocess.calibration.storage import read_storage
from tests import toy
from tests.preprocess.easymocap import folders

D = np.array([0.1, -0.2, 0.001, 0.002, 0.03])
CAMERAS = {"01": toy.camera(1, 100), "B cam": toy.camera(2, 100)}


def write(path: Path, entries: dict) -> Path:
    """By OpenCV itself, in the syntax that the suffix says."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in entries.items():
        storage.write(name, value)
    storage.release()
    return path


def entries(name: str, camera, tail: str) -> dict:
    names = (f"{key}{tail}" for key in ("K", "D", "R", "T", "H", "W"))
    K, R, T = (x.double().numpy() for x in (camera.K, camera.R, camera.T))
    return dict(zip(names, (K, D[None], R, T[:, None], camera.height, camera.width)))


def assert_equal(found: Calibration, name: str) -> None:
    camera = CAMERAS[name]
    assert found.name == name
    np.testing.assert_allclose(found.K, camera.K, atol=1e-5)
    np.testing.assert_allclose(found.R, camera.R, atol=1e-5)
    np.testing.assert_allclose(found.T, camera.T, atol=1e-5)
    np.testing.assert_allclose(found.D, D, atol=1e-6)


@pytest.mark.parametrize("suffix", [".yml", ".yaml", ".xml", ".json"])
def test_one_file_for_each_camera(tmp_path, suffix):
    if suffix == ".xml":  # the names of its elements may not hold spaces, those of files may
        assert read_storage(write(tmp_path / "x.xml", {"names": "a"}))["names"] == "a"
        (tmp_path / "x.xml").unlink()
    for name, camera in CAMERAS.items():
        write(tmp_path / f"{name}{suffix}", entries(name, camera, ""))
    found = read_calibration(tmp_path)
    assert list(found) == list(CAMERAS)
    for name, calibration in found.items():
        assert_equal(calibration, name)
        assert calibration.size == (100, 100)
    assert calibration_files(tmp_path) == [tmp_path]


def test_one_file_for_all_cameras(tmp_path):
    """As a list of names, and as a mapping written by hand."""
    listed = {k: v for name, camera in CAMERAS.items() for k, v in entries(name, camera, f"_{name}").items()}
    storage = cv2.FileStorage(str(tmp_path / "all.json"), cv2.FILE_STORAGE_WRITE)
    storage.startWriteStruct("names", cv2.FileNode_SEQ)
    for name in CAMERAS:
        storage.write("", name)
    storage.endWriteStruct()
    for name, value in listed.items():
        storage.write(name, value)
    storage.release()
    for name, calibration in read_calibration(tmp_path / "all.json").items():
        assert_equal(calibration, name)
    by_hand = {
        name: {"camera_matrix": c.K.tolist(), "dist": D.tolist(), "rotation": c.R.tolist(), "tvec": c.T.tolist()}
        for name, c in CAMERAS.items()
    }
    save_json(tmp_path / "hand.json", by_hand)
    for name, calibration in read_calibration(tmp_path / "hand.json").items():
        assert_equal(calibration, name)
        assert calibration.size is None


@pytest.mark.parametrize("named", ["", "intri.yml", "extri.yml"])
def test_easymocap(tmp_path, named):
    folders.write_cameras(tmp_path, CAMERAS, D)
    found = read_calibration(tmp_path / named)
    assert list(found) == list(CAMERAS)
    for name, calibration in found.items():
        assert_equal(calibration, name)
    assert calibration_files(tmp_path / named) == [tmp_path / "intri.yml", tmp_path / "extri.yml"]


def test_reads_what_opencv_reads(tmp_path):
    """Numbers as OpenCV spells them (1., -.5, 1e-5), in matrices that go over several lines."""
    matrix = np.random.default_rng(0).normal(size=(4, 7)) * 10.0 ** np.arange(-3, 4)
    matrix[0] = [1, -0.5, 1e-5, 0, 1e10, -3, 2]
    for suffix in (".yml", ".xml", ".json"):
        path = write(tmp_path / f"m{suffix}", {"m": matrix, "n": 3, "s": "word", "f": 2.5})
        found = read_storage(path)
        np.testing.assert_array_equal(found["m"], matrix)
        assert (int(found["n"]), found["s"], float(found["f"])) == (3, "word", 2.5)


def test_pictures_of_another_size():
    """Half as many pixels, each four of the old: the middle of a corner's four lies at 0.5, and becomes 0."""
    calibration = Calibration(
        "a", np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]]), D, np.eye(3), np.ones(3), (80, 100)
    )
    small = calibration.camera(40, 50)
    ray = torch.tensor([[(0.5 - 50) / 100, (0.5 - 40) / 100, 1.0]])
    torch.testing.assert_close(small.project(ray - small.T)[0, :2], torch.zeros(2), atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="Camera a was calibrated at 100 x 80, not 80 x 100"):
        calibration.camera(100, 80)
    unknown = dataclasses.replace(calibration, size=None)
    torch.testing.assert_close(unknown.camera(33, 55).K.double(), torch.from_numpy(calibration.K))


def test_names_recordings():
    cameras = {
        name: Calibration(name, np.eye(3), D, np.eye(3), np.ones(3), None) for name in ("cam1", "23560", "23561")
    }
    found = match_recordings(cameras, ["cam1", "Miqus_2_23561"], "file")
    assert [camera.name for camera in found.values()] == ["cam1", "23561"]
    with pytest.raises(UserError, match="file has 0 cameras for left: name the recordings after cam1, 23560, 23561"):
        match_recordings(cameras, ["left"], "file")
    with pytest.raises(UserError, match="two of cam1, cam1b match the same camera"):
        match_recordings(cameras, ["cam1", "cam1b"], "file")


GOOD = "K: [[100, 0, 50], [0, 100, 50], [0, 0, 1]]\nR: [0, 0, 0]\nT: [0, 0, 0]\n"
MATRIX = "K: !!opencv-matrix\n  rows: {}\n  cols: 3\n  dt: d\n  data: {}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yml", GOOD.replace("50]", ".nan]", 1), "not finite"),
        ("a.yml", GOOD.replace("50]", "50, 3]", 1), "needs K"),
        ("a.yml", GOOD.replace("[0, 0, 1]", "[0, 0, 2]"), "not a matrix of intrinsics"),
        ("a.yml", GOOD.replace("[[100", "[[-100"), "not a matrix of intrinsics"),
        ("a.yml", GOOD.replace("R: [0, 0, 0]", "R: [[2, 0, 0], [0, 1, 0], [0, 0, 1]]"), "not a rotation"),
        ("a.yml", GOOD.replace("R: [0, 0, 0]", "R: [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]"), "not a rotation"),
        ("a.yml", GOOD.replace("R: [0, 0, 0]\n", ""), "lacks R of camera a"),
        ("a.yml", GOOD + "D: [1, 2, 3]\n", "has 3 numbers"),
        ("a.yml", GOOD + "H: tall\nW: 3\n", "not two whole numbers"),
        ("a.yml", "names: [x]\n" + GOOD, "lacks K, R, T of camera x"),
        ("a.yml", MATRIX.format(3, "[1, 2]"), "3 x 3 has 2 numbers"),
        ("a.yml", MATRIX.format(10**12, "[1, 2]"), "has 2 numbers"),
        ("a.yml", MATRIX.format("x", "[1, 2]"), "not a file of OpenCV"),
        ("a.yml", MATRIX.format(1, "[1, two, 3]"), "not a file of OpenCV"),
        ("a.yml", "K: !!opencv-matrix [1, 2]", "not a file of OpenCV"),
        ("a.yml", "K: !!python/object/apply:os.system ['touch owned']", "not a file of OpenCV"),
        ("a.yml", "%YAML:1.0\n---\nK: [1, 2", "not a file of OpenCV"),
        ("a.yml", "[" * 1500, "not a file of OpenCV"),
        ("a.yml", "", "must hold named matrices"),
        ("a.yml", "names: [x]\n1.5: 3", "must hold named matrices"),
        ("a.yml", "other: 3", "holds no camera"),
        ("a.xml", "<opencv_storage><K type_id='opencv-matrix'><rows>3</rows></K></opencv_storage>", "not a file of"),
        ("a.xml", "<opencv_storage><K", "not a file of"),
        ("a.json", '{"K": ', "not a readable JSON"),
        ("a.json", '{"a": {"K": "../../etc/passwd", "R": [0, 0, 0], "T": [0, 0, 0]}}', "needs K"),
        ("a.txt", GOOD, "not a Qualisys calibration"),
    ],
)
def test_one_sentence_for_a_bad_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_calibration(tmp_path / name)
    assert "\n" not in str(error.value) and not Path("owned").exists()


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="There is no calibration"):
        read_calibration(tmp_path / "absent.yml")
    with pytest.raises(UserError, match="holds no camera"):
        read_calibration(tmp_path)
    folders.write_cameras(tmp_path, CAMERAS, D)
    (tmp_path / "extri.yml").unlink()
    with pytest.raises(UserError, match=r"extri\.yml does not exist"):
        read_calibration(tmp_path)
