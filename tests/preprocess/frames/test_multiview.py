"""Several synchronised recordings with a calibration."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npy, read_image, save_json, write_image
from preprocess.frames.decode import decode
from preprocess.frames.multiview import SynchronisedFrames
from preprocess.stage import is_finished, run_stage
from tests.preprocess import clips
from tests.preprocess.easymocap import folders

K = [[60.0, 0, 31.5], [0, 62, 23.5], [0, 0, 1]]
TURNS = {"left": [0.1, 0.2, 0.3], "right": [0, -1.5, 0]}


def calibration(path: Path, **changes) -> Path:
    cameras = {
        name: {"K": K, "R": turn, "T": [100.0 * i, 20, 3000], "height": 48, "width": 64, **changes}
        for i, (name, turn) in enumerate(TURNS.items())
    }
    save_json(path, cameras)
    return path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two videos of 5 and 6 pictures, the second one 100 brighter."""
    folder = tmp_path / "my videos"
    clips.write_video(folder / "left.mp4", clips.grey_levels(5))
    clips.write_video(
        folder / "right.mp4", [np.clip(p.astype(int) + 100, 0, 255).astype(np.uint8) for p in clips.grey_levels(6)]
    )
    calibration(folder / "rig.json")
    return folder


def extract(subject: Path, folder: Path, **arguments) -> tuple[SynchronisedFrames, str]:
    given = {"calibration": str(folder / "rig.json"), "unit": 0.001}
    stage = SynchronisedFrames(str(folder), **(given | arguments))
    with Progress(disable=True) as progress:
        return stage, run_stage(stage, subject, progress)


def level(subject: Path, camera: int, frame: int) -> int:
    return int(np.median(read_image(subject / f"images/{camera:02d}/{frame:06d}.png")))


def test_extracts_all_cameras(recordings, tmp_path):
    subject = tmp_path / "subject"
    stage, summary = extract(subject, recordings)
    assert summary == "5 moments of 2 cameras, 1 pictures dropped because not every camera has them"
    reader = Subject(subject)
    assert reader.frames == [0, 1, 2, 3, 4] and reader.camera_names == ["00", "01"]
    assert [abs(level(subject, 0, f) - (30 + 10 * f)) <= 3 for f in range(5)] == [True] * 5
    assert [abs(level(subject, 1, f) - (130 + 10 * f)) <= 3 for f in range(5)] == [True] * 5
    for index, (name, turn) in enumerate(TURNS.items()):
        camera = reader.camera(index)
        np.testing.assert_allclose(camera.K, K, atol=1e-5)
        np.testing.assert_allclose(camera.R, Rotation.from_rotvec(turn).as_matrix(), atol=1e-6)
        np.testing.assert_allclose(camera.T, [0.1 * index, 0.02, 3], atol=1e-6)
        assert reader.meta["video"]["cameras"][index] == name
    np.testing.assert_allclose(load_npy(subject / "annots.npy")["cams"]["T"][1].ravel(), [100, 20, 3000], atol=1e-3)
    assert reader.meta["video"]["pictures"] == [0, 1, 2, 3, 4] and is_finished(stage, subject)
    calibration(recordings / "rig.json", D=[0.1, 0, 0, 0])
    assert not is_finished(stage, subject)


@pytest.mark.parametrize("decoded", [False, True])
def test_a_few_pictures_are_those_that_are_written(recordings, tmp_path, decoded):
    options = {"offsets": {"right": 1}, "start": 1, "step": 2, "max_size": 32}
    if decoded:  # pictures instead of videos
        for path in list(recordings.glob("*.mp4")):
            for picture in decode(path):
                write_image(path.with_suffix("") / f"{picture.index:04d}.png", picture.image)
            path.unlink()
    stage, _ = extract(tmp_path / "s", recordings, **options)
    found = stage.samples(2)
    assert list(found) == ["left", "right"] and {each.count for each in found.values()} == {2}
    assert {each.rate for each in found.values()} == {None if decoded else 12.5}
    for camera, each in enumerate(found.values()):
        for frame, image in enumerate(each.images):
            assert np.array_equal(image, read_image(tmp_path / f"s/images/{camera:02d}/{frame:06d}.png"))
    with pytest.raises(UserError, match=r"left.* has no pictures from 9 on"):
        SynchronisedFrames(str(recordings), calibration=str(recordings / "rig.json"), start=9).samples(2)


def test_offsets_and_steps(recordings, tmp_path):
    extract(tmp_path / "s", recordings, offsets={"right": 1}, start=1, stop=5, step=2, cameras=["right", "left"])
    reader = Subject(tmp_path / "s")
    assert reader.meta["video"]["cameras"] == ["right", "left"] and reader.frames == [0, 1]
    assert [abs(level(tmp_path / "s", 0, f) - g) <= 3 for f, g in ((0, 150), (1, 170))] == [True, True]
    assert [abs(level(tmp_path / "s", 1, f) - g) <= 3 for f, g in ((0, 40), (1, 60))] == [True, True]
    np.testing.assert_allclose(reader.camera(1).R, Rotation.from_rotvec(TURNS["left"]).as_matrix(), atol=1e-6)


def test_easymocaps_folder_of_pictures(tmp_path):
    """Pictures in images/CC, intri.yml and extri.yml beside it: nothing else has to be named. The lens is undone."""
    D = np.array([-0.3, 0.1, 0.005, 0.002, 0.0])
    K = torch.tensor([[150.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]])
    R = torch.from_numpy(Rotation.from_rotvec([0.1, 0.4, 0]).as_matrix()).float()
    cameras = {"00": Camera(K, torch.eye(3), torch.zeros(3), 120, 160), "01": Camera(K, R, torch.ones(3), 120, 160)}
    folders.write_cameras(tmp_path / "data", cameras, D)
    point = np.array([[0.2, -0.15, 1.0]])  # in the axes of the camera
    seen = cv2.projectPoints(point, np.zeros(3), np.zeros(3), K.double().numpy(), D)[0].ravel()
    for name in cameras:
        for frame in range(2):
            image = np.zeros((120, 160, 3), np.uint8)
            cv2.circle(
                image, tuple(np.round(seen * 16).astype(int).tolist()), 16 * 4, (255, 255, 255), -1, cv2.LINE_AA, 4
            )
            write_image(tmp_path / f"data/images/{name}/{frame:06d}.jpg", image)
    stage = SynchronisedFrames(str(tmp_path / "data"))
    with Progress(disable=True) as progress:
        run_stage(stage, tmp_path / "subject", progress)
    reader = Subject(tmp_path / "subject")
    assert not reader.distortion(0).any() and len(reader.pictures) == 4
    image = read_image(tmp_path / "subject/images/01/000001.png")[..., 0].astype(float)
    found = [np.average(grid, weights=image) for grid in np.indices(image.shape)][::-1]
    camera = reader.camera(1)
    world = (torch.from_numpy(point).float() - camera.T) @ camera.R
    np.testing.assert_allclose(camera.project(world)[0, :2], found, atol=0.5)
    np.testing.assert_allclose(camera.T, [1, 1, 1], atol=1e-5)


def test_pictures_of_other_moments_are_refused(tmp_path):
    for name, numbers in (("left", (0, 1, 2)), ("right", (0, 2, 3))):
        for number in numbers:
            write_image(tmp_path / f"data/{name}/{number:04d}.png", np.zeros((48, 64, 3), np.uint8))
    rig = str(calibration(tmp_path / "rig.json"))
    with pytest.raises(UserError, match=r"left has a picture 0001 where .*right has 0002"):
        extract(tmp_path / "s", tmp_path / "data", calibration=rig)
    assert extract(tmp_path / "s", tmp_path / "data", calibration=rig, offsets={"left": 1})[1].startswith("2 moments")


def test_a_rectified_picture_of_another_size(recordings, tmp_path):
    extract(tmp_path / "s", recordings, max_size=32)
    camera = Subject(tmp_path / "s").camera(0)
    assert (camera.height, camera.width) == (24, 32)
    np.testing.assert_allclose(camera.K[0], [30, 0, (31.5 + 0.5) / 2 - 0.5], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": ["left", "top"]}, "has no recording top; it has left, right"),
        ({"offsets": {"top": 3}}, "has no recording top"),
        ({"start": 9}, r"left\.mp4 has no pictures from 9 on"),
        ({"start": 3, "stop": 3}, "select no picture"),
        ({"format": "gif"}, "neither png nor jpg"),
        ({"max_size": 0}, r"max_size=0 must be at least 1"),
        ({"unit": 0.0}, r"unit=0\.0 must be above 0"),
        ({"calibration": "/absent.yml"}, "There is no calibration /absent.yml"),
    ],
)
def test_one_sentence_for_bad_settings(recordings, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        extract(tmp_path / "s", recordings, **arguments)


def test_one_sentence_for_what_does_not_fit(recordings, tmp_path):
    with pytest.raises(UserError, match="There is no folder absent with synchronised videos"):
        SynchronisedFrames("absent").inputs(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds neither videos nor folders of pictures"):
        extract(tmp_path / "s", tmp_path / "empty", calibration=str(recordings / "rig.json"))
    calibration(recordings / "rig.json", height=64)
    with pytest.raises(UserError, match="left was calibrated at 64 x 64, not 64 x 48"):
        extract(tmp_path / "s", recordings)
    (recordings / "right.mp4").rename(recordings / "top.mp4")
    with pytest.raises(UserError, match="0 cameras for top"):
        extract(tmp_path / "s", recordings)


def noisy(folder: Path) -> Path:
    """The right camera's video, whose data need more than a few bytes, so that damage shows."""
    rng = np.random.default_rng(0)
    blocks = [np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(6)]
    return clips.write_video(folder / "right.mp4", blocks, faststart=True)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_damaged_picture_of_one_camera_is_refused(recordings, tmp_path, offset):
    """The pictures belong together; what is advised takes the part before."""
    clips.damage(noisy(recordings), 4)
    offsets = {"right": offset} if offset else None
    with pytest.raises(UserError, match=rf"right\.mp4: picture 4 cannot be decoded .*frames\.stop={4 - offset}\.$"):
        extract(tmp_path / "s", recordings, offsets=offsets)
    assert extract(tmp_path / "s", recordings, offsets=offsets, stop=4 - offset)[1].startswith(f"{4 - offset} moments")


def test_a_cut_end_of_one_camera_is_said(recordings, tmp_path):
    video = noisy(recordings)
    offset, _ = clips.packets(video)[4]
    video.write_bytes(video.read_bytes()[:offset])
    note = "right: cut off: it ends after 4 of the 6 pictures that it promises"
    assert note in extract(tmp_path / "s", recordings)[1]
    assert Subject(tmp_path / "s").meta["video"]["notes"] == [note]


def test_an_existing_subject_of_another_recording_is_kept(recordings, tmp_path):
    extract(tmp_path / "s", recordings)
    other = tmp_path / "other"
    clips.write_video(other / "left.mp4", clips.grey_levels(3))
    clips.write_video(other / "right.mp4", clips.grey_levels(3))
    with pytest.raises(UserError, match="choose another subject="):
        extract(tmp_path / "s", other, calibration=str(recordings / "rig.json"))
    assert len(Subject(tmp_path / "s").frames) == 5
