"""The user's own points."""

import json
from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io.files import read_image, write_image
from preprocess.frames.monocular import VideoFrames
from preprocess.keypoints import folder
from preprocess.keypoints.points import Keypoints, body25_folder, others_folder, overlapped_frames, points_path
from preprocess.skeleton import BODY_25, NAMES
from preprocess.stage import run_stages
from tests.preprocess.clips import grey_levels, write_video
from tests.preprocess.keypoints.people import sample


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A subject of four pictures, 64 x 48."""
    video = write_video(tmp_path / "clip.mp4", grey_levels(4))
    run_stages([VideoFrames(str(video))], tmp_path / "subject")
    return tmp_path / "subject"


def test_openpose_files_are_taken(pictures: Path, tmp_path: Path) -> None:
    given = sample()
    given.write_body25(tmp_path / "openpose")
    bystander = np.tile([1.0, 1.0, 1.0], 25).tolist()
    first = tmp_path / "openpose/000000_keypoints.json"
    content = json.loads(first.read_text())
    content["people"].insert(0, {"pose_keypoints_2d": bystander})
    first.write_text(json.dumps(content))
    run_stages([folder.FolderKeypoints(str(tmp_path / "openpose"), lift=False)], pictures)
    read = Keypoints.load(points_path(pictures))
    assert read.detected.tolist() == [True, True, False, True]
    single = [NAMES.index(names[0]) for names in BODY_25 if len(names) == 1]
    np.testing.assert_allclose(read.image_points[0, single], given.image_points[0, single], atol=1e-3)
    rest = np.setdiff1d(np.arange(len(NAMES)), single)
    assert not read.visibility[:, rest].any()
    assert np.isnan(read.world_points[0]).all()
    assert len(list(body25_folder(pictures).iterdir())) == 4
    assert read_image(pictures / "pictures/keypoints/000000.jpg").shape == (48, 64, 3)


def test_own_npz_is_taken(pictures: Path, tmp_path: Path) -> None:
    sample().save(tmp_path / "mine.npz")
    run_stages([folder.FolderKeypoints(str(tmp_path / "mine.npz"), lift=False)], pictures)
    np.testing.assert_array_equal(Keypoints.load(points_path(pictures)).world_points, sample().world_points)


def test_others_whom_the_networks_saw_are_not_kept_beside_own_points(pictures: Path, tmp_path: Path) -> None:
    """Own points may be those of the very person who was somebody else to the networks."""
    write_image(others_folder(pictures) / "000001.png", np.full((48, 64), 200, np.uint8))
    sample().save(tmp_path / "mine.npz")
    run_stages([folder.FolderKeypoints(str(tmp_path / "mine.npz"), lift=False)], pictures)
    assert overlapped_frames(pictures) == []


@pytest.mark.parametrize("harm", ["absent", "few rows", "few files", "not BODY_25", "outside"])
def test_wrong_points_of_the_user(pictures: Path, tmp_path: Path, harm: str) -> None:
    path, given = tmp_path / "mine", sample(3 if harm.startswith("few") else 4)
    if harm == "outside":
        given.image_points[:] += 1000
    if harm in ("few rows", "outside"):
        path = tmp_path / "mine.npz"
        given.save(path)
    elif harm != "absent":
        given.write_body25(path)
    if harm == "not BODY_25":
        (path / "000001_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}')
    with pytest.raises(UserError, match="mine"):
        run_stages([folder.FolderKeypoints(str(path), lift=False)], pictures)


def waving(late: int, noise: float, moves: float = 1.0, frames: int = 40) -> Keypoints:
    """Somebody 100 pixels tall who sways."""
    rng, keypoints = np.random.default_rng(1), Keypoints.empty(list(range(frames)))
    for row in range(frames):
        height = np.linspace(0, 100, len(NAMES))
        sway = 20 * moves * np.sin((row - late) / 4) * (1 - height / 100)
        keypoints.image_points[row] = np.stack([150 + sway, height], 1) + rng.normal(0, noise, (len(NAMES), 2))
    keypoints.visibility[:], keypoints.detected[:] = 1, True
    return keypoints


@pytest.mark.parametrize("late", [0, 2, -3, 7])
def test_points_of_other_pictures_are_noticed(late: int) -> None:
    found = waving(0, 0)
    assert folder.shift_of(waving(late, 1), found) == late
    found.detected[::3] = False
    assert folder.shift_of(waving(late, 1), found) == late


def test_points_of_somebody_who_hardly_moves_tell_nothing() -> None:
    assert folder.shift_of(waving(4, 2, moves=0.05), waving(0, 0, moves=0.05)) == 0
    assert folder.shift_of(waving(0, 8), waving(0, 0)) == 0


@pytest.mark.parametrize("lost", [slice(35, 40), slice(0, 8)])
def test_points_that_are_lost_at_an_end_are_not_late(lost: slice) -> None:
    given = waving(0, 1, moves=0.05)
    given.image_points[lost] += 60
    assert folder.shift_of(given, waving(0, 0, moves=0.05)) == 0
