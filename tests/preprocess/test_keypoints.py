"""Who is followed, how crops map to pictures, what is written; and, with the real networks, a real recording."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.errors import UserError
from hashhuman.io.assets import fetch
from hashhuman.io.files import read_image, save_npz
from preprocess.frames.decode import DEMO_CAMERA
from preprocess.frames.images import image_paths
from preprocess.frames.monocular import VideoFrames
from preprocess.keypoints import blazepose, folder
from preprocess.keypoints.crop import SIDE, Crop
from preprocess.keypoints.follow import Follower, smooth_crops
from preprocess.keypoints.movenet import overlap
from preprocess.keypoints.points import Keypoints, body25_folder, points_path, segmentation_folder
from preprocess.keypoints.pose_network import MIRROR, _Output, refine
from preprocess.keypoints.tracks import Track, choose, link
from preprocess.skeleton import BODY_25, NAMES
from preprocess.stage import run_stages
from tests.preprocess import actors
from tests.preprocess.actors import FakeMoveNet, FakePoseNetwork, Script
from tests.preprocess.clips import grey_levels, write_video


def tracks_of(script: Script, every: int = 1) -> list[Track]:
    """Everybody's tracks."""
    tracks: list[Track] = []
    detect = FakeMoveNet(script)
    for i in range(0, len(script), every):
        link(tracks, i, detect(actors.picture(i)))
    return tracks


def follow(script: Script, every: int = 5) -> tuple[list[np.ndarray | None], FakeMoveNet]:
    """Where the leftmost person is found in each picture, and the detector that was asked."""
    track = choose(tracks_of(script, every), 0, actors.WIDTH, actors.HEIGHT)
    detector = FakeMoveNet(script)
    follower = Follower(FakePoseNetwork(script), detector, track, every, 0.5)  # pyright: ignore[reportArgumentType]
    poses = [follower(i, actors.picture(i)) for i in range(len(script))]
    return [pose and pose.image_points[0] for pose in poses], detector


# ------------------------------------------------------------------ who


def test_overlap() -> None:
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 25, 10])
    assert overlap(a, b) == overlap(b, a) == pytest.approx(0.5)  # 50 of the smaller's 100
    assert overlap(a, a + 20) == 0


def test_people_who_pass_each_other_stay_apart() -> None:
    script = [{"a": (60 + 8 * t, 110), "b": (260 - 8 * t, 140)} for t in range(26)]
    tracks = tracks_of(script)
    assert len(tracks) == 2
    for track, sign in zip(tracks, (1, -1)):
        path = [track.detections[t].center[0] for t in range(26)]
        assert np.all(np.diff(path) == sign * 8)


def test_the_large_and_central_person_is_chosen() -> None:
    tracks: list[Track] = []
    for t in range(10):
        link(tracks, t, [actors.detection(160, 120), actors.detection(30, 120), actors.detection(290, 120, tall=60)])
    assert choose(tracks, None, 320, 240).last == 9
    assert choose(tracks, None, 320, 240).detections[0].hips[0] == 160


def test_person_by_number_or_point() -> None:
    tracks = tracks_of([{"b": (160, 120), "a": (40, 120), "c": (290, 110)}] * 3)
    for person, x in ((0, 40), (1, 160), (2, 290), ([280, 100], 290), ([20, 20], 40)):
        assert choose(tracks, person, 320, 240).detections[0].hips[0] == x
    with pytest.raises(UserError, match="3 were found"):
        choose(tracks, 3, 320, 240)
    with pytest.raises(UserError, match="nobody was found"):
        choose([], None, 320, 240)


def test_following_does_not_jump_to_a_bystander() -> None:
    """Somebody stands so near the person's path that the crop holds both."""
    script = [{"person": (100 + 3 * t, 120), "bystander": (190, 100)} for t in range(40)]
    found, _ = follow(script)
    expected = [script[t]["person"][0] for t in range(40)]
    assert [None if p is None else p[0] for p in found] == expected


def test_lost_person_is_found_again_and_not_replaced() -> None:
    script = [{"person": (140, 120), "bystander": (205, 100)} for _ in range(30)]
    script[7:12] = [{"bystander": (205, 100)}] * 5
    found, _ = follow(script)
    assert [t for t, p in enumerate(found) if p is None] == [7, 8, 9, 10, 11]
    assert {float(p[0]) for p in found if p is not None} == {140.0}


def test_detector_is_asked_only_when_needed() -> None:
    _, detector = follow([{"person": (100 + t, 120)} for t in range(30)])
    assert detector.calls == 1


def test_smoothing_keeps_the_path_and_drops_jitter() -> None:
    rng = np.random.default_rng(0)
    crops: list[Crop | None]
    crops = [Crop(np.array([100 + 2 * t, 50]) + rng.normal(0, 3, 2), 200 + rng.normal(0, 5), 0.0) for t in range(60)]
    crops[20] = None
    smoothed = list(smooth_crops(crops, 2.0))
    assert smoothed[20] is None
    off = np.array([c.center - (100 + 2 * t, 50) for t, c in enumerate(smoothed) if c is not None and 6 < t < 53])
    assert np.abs(off).max() < 4 and off.std() < 1.6
    turned = [Crop(np.zeros(2), 1.0, angle) for angle in (np.pi - 0.1, -np.pi + 0.1)]
    assert all(abs(abs(c.angle) - np.pi) < 0.11 for c in smooth_crops(turned, 2.0) if c is not None)
    assert [c.angle for c in smooth_crops(turned, 0.0) if c is not None] == pytest.approx([c.angle for c in turned])
    assert [c.center.tolist() for c in smooth_crops(crops[:3], 0.0) if c] == [c.center.tolist() for c in crops[:3] if c]


def test_crops_are_smoothed_as_soon_as_their_surroundings_are_seen():
    """Against a mean over the whole sequence, whose far ends do not count."""
    noise = np.random.default_rng(0)
    crops = [
        None if i in (4, 30) else Crop(noise.normal(size=2) * 9, 100 + 10 * noise.random(), 0.0) for i in range(40)
    ]
    asked = []
    smoothed = smooth_crops((asked.append(i) or crop for i, crop in enumerate(crops)), 1.5)
    assert next(smoothed) is not None and len(asked) == 7  # itself and four sigmas
    rest = list(smoothed)
    assert len(rest) == 39 and rest[3] is None and rest[29] is None
    known = [i for i, crop in enumerate(crops) if crop is not None]
    for i in (1, 5, 20, 39):
        weights = np.exp(-0.5 * ((np.array(known) - i) / 1.5) ** 2)
        center = (weights[:, None] * [crops[k].center for k in known]).sum(0) / weights.sum()
        np.testing.assert_allclose(rest[i - 1].center, center, atol=0.01)


# ------------------------------------------------------------------ crops and points


def test_crop_stands_the_person_upright() -> None:
    crop = Crop.around(np.array([100.0, 80.0]), np.array([140.0, 80.0]))  # the head lies to the right
    matrix = crop.image_from_crop
    middle = matrix @ [(SIDE - 1) / 2, (SIDE - 1) / 2, 1]
    above = matrix @ [(SIDE - 1) / 2, 0, 1]
    np.testing.assert_allclose(middle[:2], [100, 80])
    assert above[0] > 140 and above[1] == pytest.approx(80)
    assert crop.side == pytest.approx(100)  # 1.25 of the circle's diameter
    rotation = Rotation.from_euler("z", crop.angle).as_matrix()[:2, :2]
    np.testing.assert_allclose(crop.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(matrix[:2, :2], rotation * 100 / SIDE, atol=1e-12)


def test_refinement_finds_the_peak() -> None:
    x, y = 100.7, 60.2  # where the joint is, in crop pixels
    heatmap = np.full((64, 64, 1), -20.0)
    columns, rows = np.meshgrid(np.arange(64), np.arange(64))
    distance = (4 * columns - 0.5 - x) ** 2 + (4 * rows - 0.5 - y) ** 2
    heatmap[..., 0] = 3 - distance / 8
    [found] = refine(np.array([[x + 3, y - 2]]), heatmap)
    np.testing.assert_allclose(found, [x, y], atol=0.3)
    unsure = refine(np.array([[x + 3, y - 2]]), heatmap - 10)
    np.testing.assert_array_equal(unsure, [[x + 3, y - 2]])
    outside = refine(np.array([[-9.0, 400.0]]), heatmap)
    np.testing.assert_array_equal(outside, [[-9, 400]])


def test_mirror_exchanges_sides_and_is_its_own_inverse() -> None:
    assert MIRROR[NAMES.index("left_wrist")] == NAMES.index("right_wrist")
    assert MIRROR[NAMES.index("mouth_left")] == NAMES.index("mouth_right")
    assert MIRROR[NAMES.index("nose")] == NAMES.index("nose")
    rng = np.random.default_rng(0)
    answer = _Output(rng.random((39, 2)) * 255, rng.random((39, 2)), rng.random((33, 3)), 1.0, rng.random((256, 256)))
    again = answer.mirrored().mirrored()
    np.testing.assert_allclose(again.points, answer.points)
    np.testing.assert_allclose(again.world_points, answer.world_points)
    np.testing.assert_array_equal(again.mask_logits, answer.mask_logits)
    np.testing.assert_allclose(answer.mirrored().points[MIRROR][:, 0], 255 - answer.points[:, 0])


def test_contradicting_answers_are_not_averaged() -> None:
    rng = np.random.default_rng(0)
    answer = _Output(rng.random((39, 2)) * 255, np.zeros((39, 2)), np.zeros((33, 3)), 1.0, np.zeros((256, 256)))
    near = _Output(answer.points + 2, answer.logits, answer.world_points, 0.5, answer.mask_logits)
    mean = answer.mean(near)
    np.testing.assert_allclose(mean.points, answer.points + 1)
    assert mean.score == 0.75
    flipped = _Output(answer.points[MIRROR], answer.logits, answer.world_points, 1.0, answer.mask_logits)
    assert answer.mean(flipped) is answer


def sample(frames: int = 4) -> Keypoints:
    """Detected everywhere but in the picture 2."""
    rng = np.random.default_rng(0)
    keypoints = Keypoints.empty(list(range(frames)))
    keypoints.image_points[:] = rng.uniform(5, 40, keypoints.image_points.shape)
    keypoints.visibility[:] = rng.uniform(0.6, 1, keypoints.visibility.shape)
    keypoints.world_points[:] = rng.normal(0, 0.5, keypoints.world_points.shape)
    keypoints.detected[:] = np.arange(frames) != 2
    return keypoints


def test_body25_is_openposes() -> None:
    keypoints = sample()
    points = keypoints.body25(0)
    image = dict(zip(NAMES, keypoints.image_points[0]))
    assert points.shape == (25, 3)
    np.testing.assert_allclose(points[0, :2], image["nose"], atol=1e-3)
    np.testing.assert_allclose(points[1, :2], (image["left_shoulder"] + image["right_shoulder"]) / 2, atol=1e-3)
    np.testing.assert_allclose(points[4, :2], image["right_wrist"], atol=1e-3)
    np.testing.assert_allclose(points[8, :2], (image["left_hip"] + image["right_hip"]) / 2, atol=1e-3)
    np.testing.assert_allclose(points[24, :2], image["right_heel"], atol=1e-3)
    assert not points[[20, 23]].any()  # small toes


def test_files_read_back(tmp_path: Path) -> None:
    keypoints = sample()
    keypoints.save(tmp_path / "00.npz")
    read = Keypoints.load(tmp_path / "00.npz")
    np.testing.assert_array_equal(read.image_points, keypoints.image_points)
    np.testing.assert_array_equal(read.detected, keypoints.detected)
    keypoints.write_body25(tmp_path / "body25")
    files = sorted((tmp_path / "body25").iterdir())
    assert [f.name for f in files] == [f"{i:06d}_keypoints.json" for i in range(4)]
    assert [len(json.loads(f.read_text())["people"]) for f in files] == [1, 1, 0, 1]


@pytest.mark.parametrize("harm", ["visibility", "frames", "shape"])
def test_wrong_points_file(tmp_path: Path, harm: str) -> None:
    sample().save(tmp_path / "00.npz")
    with np.load(tmp_path / "00.npz") as archive:
        arrays = dict(archive)
    if harm == "shape":
        arrays["image_points"] = arrays["image_points"][:, :17]
    else:
        del arrays[harm]
    save_npz(tmp_path / "00.npz", arrays)
    with pytest.raises(UserError, match=r"00\.npz must hold"):
        Keypoints.load(tmp_path / "00.npz")


# ------------------------------------------------------------------ the user's own points


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


# ------------------------------------------------------------------ the real thing


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
    detector, network = blazepose.MoveNet(), blazepose.PoseNetwork()
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
