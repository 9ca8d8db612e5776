"""The stage's options; and the real networks on a real recording."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io.assets import fetch
from hashhuman.io.files import read_image
from preprocess.frames.decode import DEMO_CAMERA
from preprocess.frames.images import image_paths
from preprocess.frames.monocular import VideoFrames
from preprocess.keypoints import blazepose, folder
from preprocess.keypoints.cameras import CameraKeypoints
from preprocess.keypoints.follow import Follower
from preprocess.keypoints.points import Keypoints, body25_folder, points_path, segmentation_folder
from preprocess.keypoints.tracks import Track, choose, link
from preprocess.skeleton import NAMES
from preprocess.stage import run_stages


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures 0, 20, 40, 60 and 80 of the demo recording: a man in front, a bystander at the left."""
    subject = tmp_path_factory.mktemp("subjects") / "demo"
    run_stages([VideoFrames(str(fetch(DEMO_CAMERA)), step=20, max_size=960)], subject)
    run_stages([blazepose.BlazePoseKeypoints(every=1)], subject)
    return subject


@pytest.mark.slow
def test_real_person_is_found_upright_and_facing(recording: Path) -> None:
    keypoints = Keypoints.load(points_path(recording))
    assert keypoints.detected.all() and (keypoints.score > 0.9).all()
    x, y = (dict(zip(NAMES, keypoints.image_points[0, :, axis])) for axis in (0, 1))
    assert y["nose"] < y["left_shoulder"] < y["left_hip"] < y["left_knee"] < y["left_ankle"]
    assert x["left_shoulder"] > x["right_shoulder"]  # he faces the camera
    tall = y["left_ankle"] - y["nose"]
    assert 250 < tall < 500  # of 960; the bystander is 160 tall
    world = dict(zip(NAMES, keypoints.world_points[0]))
    assert 0.3 < np.linalg.norm(world["left_hip"] - world["left_knee"]) < 0.6  # metres
    assert np.linalg.norm(world["left_hip"] + world["right_hip"]) < 0.1


@pytest.mark.slow
def test_real_mask_is_his_alone(recording: Path) -> None:
    keypoints = Keypoints.load(points_path(recording))
    for row, path in enumerate(image_paths(recording).values()):
        mask = read_image(segmentation_folder(recording) / f"{path.stem}.png")
        assert mask.shape == read_image(path).shape[:2]
        inside = keypoints.image_points[row, [NAMES.index(n) for n in ("left_hip", "right_hip", "left_knee")]]
        assert all(mask[round(y), round(x)] > 200 for x, y in inside)
        assert mask[140:370, :60].max() < 50  # where the bystander stands
        assert 0.02 < (mask > 127).mean() < 0.15


@pytest.mark.slow
def test_real_bystander_can_be_chosen(recording: Path, tmp_path: Path) -> None:
    detector, network = blazepose.MoveNets(), blazepose.PoseNetwork()
    image = read_image(image_paths(recording)[0])
    tracks: list[Track] = []
    link(tracks, 0, detector(image))
    assert len(tracks) == 2
    track = choose(tracks, 0, image.shape[1], image.shape[0])
    pose = Follower(network, detector, track, 1, 0.5)(0, image)
    assert pose is not None and pose.image_points[:, 0].max() < 90


@pytest.mark.slow
def test_real_points_can_be_lifted(recording: Path, tmp_path: Path) -> None:
    """Only 2D points are given: what BlazePose adds must agree with what it found by itself."""
    found = Keypoints.load(points_path(recording))
    subject = tmp_path / "lifted"
    run_stages([VideoFrames(str(fetch(DEMO_CAMERA)), step=20, max_size=960)], subject)
    run_stages([folder.FolderKeypoints(str(body25_folder(recording)))], subject)
    lifted = Keypoints.load(points_path(subject))
    assert np.linalg.norm(lifted.world_points - found.world_points, axis=-1).mean() < 0.06


def test_a_detector_that_never_runs_is_refused() -> None:
    with pytest.raises(UserError, match="every=0 must be at least 1"):
        blazepose.BlazePoseKeypoints(every=0)
    with pytest.raises(UserError, match="every=0 must be at least 1"):
        CameraKeypoints(blazepose.BlazePoseKeypoints, every=0)
