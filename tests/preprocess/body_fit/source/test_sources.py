"""Readers of other tools' files return the motion that the files were made of, under the subject's camera."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.errors import UserError
from preprocess.body_fit.source.motion import Motion, Source, resample
from preprocess.body_fit.source.npz import Npz
from preprocess.body_fit.source.romp import Romp
from preprocess.body_fit.source.tram import Tram
from preprocess.body_fit.source.wham import Wham
from tests.preprocess.body_fit.source import tools
from tests.preprocess.body_fit.source.tools import FRAMES, HALF, Truth


def read(tool: str, tmp_path: Path, *people: Truth, source: Source | None = None) -> list[Motion]:
    path = tmp_path / tool
    tools.DUMP[tool](path, tools.CONTENT[tool](*people))
    return (source or tools.SOURCES[tool]()).read(path, *HALF)


@pytest.mark.parametrize("tool", ["wham", "tram", "hmr2", "npz"])
def test_poses_and_times_are_the_tools(tool: str, tmp_path: Path):
    truth = Truth(0)
    [motion] = read(tool, tmp_path, truth)
    np.testing.assert_array_equal(motion.at, FRAMES)
    np.testing.assert_allclose(motion.rotations, truth.matrices, atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl, atol=1e-6)
    np.testing.assert_allclose(motion.betas, truth.betas[0], atol=1e-6)


def test_gvhmr_has_a_row_for_every_picture_and_no_hands(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("gvhmr", tmp_path, truth)
    np.testing.assert_array_equal(motion.at, np.arange(len(FRAMES)))
    np.testing.assert_allclose(motion.rotations, truth.matrices[:, :22], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl, atol=1e-6)


def test_amass_counts_seconds_in_a_world_without_camera(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("amass", tmp_path, truth)
    assert motion.seconds and motion.K is None
    np.testing.assert_allclose(motion.at, np.arange(5) / 20)
    np.testing.assert_allclose(motion.rotations, truth.matrices[:, :22], atol=1e-6)


@pytest.mark.parametrize(
    ("tool", "focal"),
    [
        ("wham", np.hypot(*HALF)),
        ("gvhmr", np.hypot(*HALF)),
        ("tram", 350),  # 700 in the video, which is twice as wide
        ("hmr2", 5000 / 256 * 320),
        ("npz", 250),
    ],
)
def test_cameras_are_in_pixels_of_the_subject(tool: str, focal: float, tmp_path: Path):
    [motion] = read(tool, tmp_path, Truth(0))
    assert motion.K is not None
    np.testing.assert_allclose(motion.K, [[focal, 0, 159.5], [0, focal, 89.5], [0, 0, 1]], atol=1e-3)


def test_wham_with_a_calibration(tmp_path: Path):
    [motion] = read("wham", tmp_path, Truth(0), source=Wham(focal=321))
    assert motion.K is not None and motion.K[0, 0] == motion.K[1, 1] == 321


def test_joints_are_in_the_axes_of_the_camera(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("npz", tmp_path, truth)
    assert motion.joints is not None
    np.testing.assert_allclose(motion.joints, truth.joints)
    [motion] = read("hmr2", tmp_path, truth)
    assert motion.joints is not None
    known = sorted(tools.BODY_25_OF_SMPL.values())
    np.testing.assert_allclose(motion.joints[:, known], truth.joints[:, known])
    assert np.isnan(motion.joints[:, np.setdiff1d(np.arange(24), known)]).all()


@pytest.mark.parametrize("tracked", [True, False])
def test_romp_puts_people_where_it_drew_them(tracked: bool, tmp_path: Path):
    """A weak-perspective camera and ours agree on pixels at the depth of the origin."""
    people = Truth(0, x=-2.0), Truth(1, x=2.0)
    tools.DUMP["romp"](tmp_path / "x.npz", tools.romp(*people, tracked=tracked))
    found = Romp().read(tmp_path / "x.npz", *HALF)
    assert len(found) == 2
    for motion, truth in zip(sorted(found, key=lambda m: m.transl[0, 0]), people):
        np.testing.assert_array_equal(motion.at, FRAMES)
        np.testing.assert_allclose(motion.rotations, truth.matrices, atol=1e-6)
        assert motion.joints is not None and motion.K is not None and motion.seen is not None
        pixels = motion.joints @ motion.K.T
        pixels = pixels[..., :2] / pixels[..., 2:]
        drawn = np.stack([tools.romp_people([(truth, row)])["pj2d_org"][0, :24] for row in range(5)])
        expected = drawn / 2 - 0.5  # half the size; pixel centres at integers, not the corner
        assert np.abs(pixels - expected).max() < 4  # of 320, for joints up to a metre nearer or farther
        np.testing.assert_allclose(motion.seen, (truth.transl[:, :2] / 4 + 1) * 160 - [0, 70], atol=1e-3)


def test_worlds_are_the_cameras_turned(tmp_path: Path):
    truth = Truth(0)
    turn = Rotation.from_euler("x", 180, degrees=True).as_matrix()
    [motion] = read("wham", tmp_path, truth, source=Wham("world"))
    assert motion.K is None
    np.testing.assert_allclose(motion.rotations[:, 0], turn @ truth.matrices[:, 0], atol=1e-6)
    hips = truth.joints[:, 1:3].mean(1) @ turn.T + [1, 0, 2]
    assert motion.hips is not None and np.abs(motion.hips - hips).max() < 1e-6
    [motion] = read("wham", tmp_path, truth)
    assert motion.hips is None
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    [motion] = read("tram", tmp_path, truth, source=Tram("world"))
    assert motion.K is None
    np.testing.assert_allclose(motion.rotations[:, 0], turn @ truth.matrices[:, 0], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl @ turn.T + [1, 2, 3], atol=1e-6)


def test_extrinsics_of_the_plain_file(tmp_path: Path):
    content = tools.npz(Truth(0)) | {"R": Rotation.from_euler("z", 90, degrees=True).as_matrix(), "T": np.arange(3.0)}
    tools.DUMP["npz"](tmp_path / "x.npz", content)
    [motion] = Npz().read(tmp_path / "x.npz", *HALF)
    R, T = motion.camera_from_axes
    np.testing.assert_allclose(R @ [1, 0, 0] + T, [0, 2, 2], atol=1e-12)


@pytest.mark.parametrize("tool", ["wham", "tram", "hmr2"])
def test_everybody_is_read_and_placed(tool: str, tmp_path: Path):
    found = read(tool, tmp_path, Truth(0, x=-1.0), Truth(1, np.array([0, 1, 5]), x=1.0))
    found.sort(key=lambda motion: -len(motion.at))
    assert [len(motion.at) for motion in found] == [5, 3]
    left, right = (np.mean(motion.seen, axis=0) for motion in found if motion.seen is not None)
    assert left[0] < right[0]


def test_rows_may_come_in_any_order(tmp_path: Path):
    content = tools.npz(Truth(0))
    order = np.array([3, 0, 4, 1, 2])
    for name in ("global_orient", "body_pose", "transl", "frames", "joints", "betas"):
        content[name] = content[name][order]
    tools.DUMP["npz"](tmp_path / "x.npz", content)
    [motion] = Npz().read(tmp_path / "x.npz", *HALF)
    np.testing.assert_array_equal(motion.at, FRAMES)
    np.testing.assert_allclose(motion.transl, Truth(0).transl)
    content["frames"][1] = content["frames"][0]
    tools.DUMP["npz"](tmp_path / "x.npz", content)
    with pytest.raises(UserError, match="several poses of one person in one picture"):
        Npz().read(tmp_path / "x.npz", *HALF)


def test_another_word_than_camera_or_world():
    with pytest.raises(UserError, match="neither camera nor world"):
        Wham("wrold")  # pyright: ignore[reportArgumentType]


def test_resampling_turns_halfway_and_says_what_it_filled_in():
    turns = Rotation.from_euler("z", [[0], [40], [80]], degrees=True).as_matrix()[:, None]
    places = np.array([[0.0, 0, 1], [0, 2, 1], [4, 2, 1]])
    motion = Motion(np.array([1.0, 2, 6]), turns, places, np.zeros(10), np.eye(3))
    resampled, filled = resample(motion, np.array([0.0, 1, 2, 4, 6, 7]), 0.5)
    assert filled.tolist() == [True, False, False, True, False, True]
    angles = Rotation.from_matrix(resampled.rotations[:, 0]).as_euler("zxy", degrees=True)[:, 0]
    np.testing.assert_allclose(angles, [0, 0, 40, 60, 80, 80], atol=1e-9)
    np.testing.assert_allclose(resampled.transl[3], [2, 2, 1])
    single, filled = resample(Motion(np.array([3.0]), turns[:1], places[:1], np.zeros(10), None), np.arange(5.0), 0.5)
    assert filled.tolist() == [True, True, True, False, True] and single.rotations.shape == (5, 1, 3, 3)
