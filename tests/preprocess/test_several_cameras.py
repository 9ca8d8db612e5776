"""Who is who in several cameras, metric points out of them, and the body's size."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npz, write_image
from preprocess.body_fit import cameras as body_cameras
from preprocess.body_fit import result
from preprocess.body_fit.cameras import JOINTS, CameraFit, scaled
from preprocess.keypoints import cameras as keypoint_cameras
from preprocess.keypoints.camera_axes import to_camera_axes
from preprocess.keypoints.cameras import CameraKeypoints
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.keypoints.same_person import same_person
from preprocess.keypoints.tracks import Track
from preprocess.keypoints.triangulate import triangulated_world_points
from preprocess.skeleton import NAMES
from preprocess.stage import Stage, run_stage
from tests import toy

MOMENTS = (0, 5, 10, 15)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def views() -> list[Camera]:
    return [toy.camera(index, 400) for index in range(3)]


def pixels(camera: Camera, points: np.ndarray) -> np.ndarray:
    return camera.project(torch.from_numpy(points).float())[..., :2].numpy().astype(float)


def track(camera: Camera, points: np.ndarray, moments=MOMENTS, noise=0.0) -> Track:
    """Somebody's detections; `points` (moments, 17, 3) in the world."""
    rng, made = np.random.default_rng(1), None
    for moment, each in zip(moments, points):
        place = pixels(camera, each) + rng.normal(0, noise + 1e-9, (17, 2))
        detection = Detection(place, np.full(17, 0.8), np.concatenate([place.min(0), place.max(0)]), 0.9)
        if made is None:
            made = Track(moment, detection)
        made.detections[moment] = detection
    assert made is not None
    return made


def test_the_same_person_is_whose_rays_meet(views, rng):
    him, her = (rng.normal((x, 0, 0.2), 0.3, (4, 17, 3)) for x in (-0.4, 0.4))
    of_him = track(views[0], him)
    others = [track(views[1], her, noise=3), track(views[1], him, noise=3)]
    assert same_person(of_him, views[0], others, views[1]) is others[1]
    assert same_person(track(views[0], her), views[0], others, views[1]) is others[0]
    assert same_person(of_him, views[0], others[::-1], views[1]) is others[1]


def test_somebody_who_is_seen_for_a_moment_only_does_not_count(views, rng):
    him = rng.normal(0, 0.3, (8, 17, 3))
    moments = range(0, 40, 5)
    passing = track(views[1], him[:1], moments[:1])  # exactly where he should be, by chance
    long = track(views[1], him, moments, noise=6)
    assert same_person(track(views[0], him, moments), views[0], [passing, long], views[1]) is long
    with pytest.raises(UserError, match="synchronised"):
        same_person(track(views[0], him, moments), views[0], [track(views[1], him, range(100, 108))], views[1])


def keypoints(camera: Camera, points: np.ndarray) -> Keypoints:
    """Of points (F, 33, 3) in the world; metric points that are wrong."""
    made = Keypoints.empty(list(range(len(points))))
    made.detected[:], made.visibility[:], made.presence[:] = True, 0.9, 0.9
    made.image_points[:] = pixels(camera, points)
    made.world_points[:] = 7
    return made


def test_triangulates_metric_points(views, rng):
    points = rng.normal(0, 0.3, (4, 33, 3))
    seen = [keypoints(camera, points) for camera in views]
    seen[1].image_points[2, 5] += 200  # one camera is wrong: the other two outvote it
    seen[1].visibility[1, 9] = seen[2].visibility[1, 9] = 0  # seen by one only: stays as it was
    seen[2].detected[3] = False
    metric = triangulated_world_points(seen, views)
    assert (metric[1, 9] == 7).all()
    metric = np.where(metric == 7, np.nan, metric).astype(float)
    K = views[0].K.double().numpy()
    found = to_camera_axes(metric, seen[0].image_points.astype(float), K)
    expected = points @ views[0].R.numpy().T + views[0].T.numpy()
    hips = [NAMES.index("left_hip"), NAMES.index("right_hip")]
    expected -= expected[:, hips].mean(1, keepdims=True)
    known = np.isfinite(found)
    assert known.sum() == known.size - 3
    np.testing.assert_allclose(found[known], expected[known], atol=0.002)


def test_without_hips_nothing_changes(views, rng):
    points = rng.normal(0, 0.3, (2, 33, 3))
    seen = [keypoints(camera, points) for camera in views[:2]]
    seen[1].visibility[1, NAMES.index("left_hip")] = 0
    metric = triangulated_world_points(seen, views[:2])
    assert (metric[1] == 7).all() and not (metric[0] == 7).any()


class FakeKeypoints(Stage):
    """Writes where a body is seen, and remembers whom it was to follow."""

    name = "keypoints"
    asked: list = []  # noqa: RUF012, since it is shared on purpose

    def __init__(self, points, person=None):
        self.points, self.person = points, person

    def inputs(self, subject):
        return []

    def outputs(self, subject):
        return []

    def settings(self):
        return {}

    def run(self, subject, progress):
        self.asked.append(self.person)
        keypoints(Subject(subject).camera(0), self.points).save(points_path(subject))
        return "person in all; 2 people seen"


@pytest.fixture
def several(tmp_path: Path, views) -> Path:
    """A subject of three cameras with blank pictures whose first pixel tells the camera and the frame."""
    writer, rows = SubjectWriter(tmp_path / "subject"), []
    for frame in range(4):
        rows.append([writer.image_path(camera, frame) for camera in range(3)])
        for camera, path in enumerate(rows[-1]):
            image = np.zeros((400, 400, 3), np.uint8)
            image[0, 0] = camera, frame, 0
            write_image(path, image)
    writer.write_annots(views, [np.zeros(5)] * 3, rows)
    return tmp_path / "subject"


def test_follows_the_same_person_in_every_camera(several, views, rng, monkeypatch):
    him = rng.normal(0, 0.3, (4, 33, 3))
    middles = {"him": (-0.4, 0, 0), "her": (0.4, 0, 0.3)}
    people = {name: rng.normal(middle, 0.2, (1, 17, 3)).repeat(4, 0) for name, middle in middles.items()}
    her = pixels(views[0], people["her"][0]).mean(0).tolist()

    class FakeMoveNet:
        def __call__(self, image):
            camera, frame, _ = image[0, 0]
            order = sorted(people) if camera else sorted(people, reverse=True)
            return [track(views[camera], people[name][frame : frame + 1], [0]).detections[0] for name in order]

    monkeypatch.setattr(keypoint_cameras, "MoveNet", FakeMoveNet)
    FakeKeypoints.asked.clear()
    stage = CameraKeypoints(lambda person: FakeKeypoints(him, person), person=her, people={2: [1.0, 2.0]}, every=1)
    with Progress(disable=True) as progress:
        assert run_stage(stage, several, progress) == "person in all of 3 cameras"
    first, second, third = FakeKeypoints.asked
    chosen = min(("him", "her"), key=lambda n: abs(pixels(views[1], people[n][0]).mean(0) - second).max())
    assert chosen == "her" and first == her and third == [1.0, 2.0]
    for camera in range(3):
        found = Keypoints.load(points_path(several, camera)).image_points
        np.testing.assert_allclose(found, pixels(views[camera], him), atol=1e-3)
    assert not (Keypoints.load(points_path(several)).world_points == 7).any()
    assert (Keypoints.load(points_path(several, 1)).world_points == 7).all()


class FakeFit(Stage):
    """The toy with twelve joints to compare, seen by the first camera as it should be, but in the wrong size."""

    name = "body_fit"

    def __init__(self, joints: np.ndarray, size: float):
        self.joints, self.size = joints, size

    def inputs(self, subject):
        return [points_path(subject)]

    def outputs(self, subject):
        names = ("smpl_params", "smpl_vertices", "smpl_lbs", "pictures/body_fit")
        return [result.report_path(subject), *(subject / name for name in names)]

    def settings(self):
        return {"size": self.size}

    def run(self, subject, progress):
        reader, writer = Subject(subject), SubjectWriter(subject)
        center = reader.camera(0).center
        template = scaled(toy.template(), self.size)
        poses = [toy.pose(frame) for frame in range(4)]
        moved = [dataclasses.replace(p, Th=center + self.size * (p.Th - center)) for p in poses]
        result.write_body(writer, template, moved, list(range(4)), np.array([0.5, 2]))
        nothing = np.zeros(4, bool)
        joints = center.numpy() + self.size * (self.joints - center.numpy())
        fields = (np.arange(4), np.full(4, 1.0), np.full(4, 0.9), nothing, nothing, joints.astype(np.float32))
        result.FitReport(*fields, joint_names=JOINTS).save(result.report_path(subject))
        return "fitted"


@pytest.mark.parametrize("size", [0.8, 1.0, 1.15])
def test_the_other_cameras_tell_the_size(several, views, rng, size):
    joints = rng.normal(0, 0.3, (4, 12, 3))
    points = np.zeros((4, 33, 3))
    points[:, [NAMES.index(name) for name in JOINTS]] = joints
    for camera, view in enumerate(views):
        seen = keypoints(view, points)
        if camera == 2:
            seen.image_points[0] += 150  # a bad frame
        seen.save(points_path(several, camera))
        for frame in range(4):
            write_image(segmentation_folder(several).parent / f"{camera:02d}/{frame:06d}.png", silhouette(view, frame))
    with Progress(disable=True) as progress:
        summary = run_stage(CameraFit(FakeFit(joints, size), pictures=1), several, progress)
    reader = Subject(several)
    for frame in range(4):
        np.testing.assert_allclose(reader.vertices(frame), toy.world_vertices(toy.template(), frame), atol=0.01)
        posed = reader.template().pose_vertices(reader.pose(frame).poses)
        world = posed @ reader.pose(frame).world_from_posed()[:3, :3].T + reader.pose(frame).world_from_posed()[:3, 3]
        np.testing.assert_allclose(reader.vertices(frame), world, atol=1e-4)
    np.testing.assert_allclose(load_npz(result.report_path(several))["joints"], joints, atol=0.01)
    assert reader.meta["scale"] == pytest.approx(1 / size, rel=0.005)
    assert summary.startswith("fitted; scaled by") and "points 0, 0 px, IoU 0.9" in summary
    assert sorted(p.name for p in (several / "pictures/body_fit").iterdir()) == ["01", "02"]


def silhouette(view: Camera, frame: int) -> np.ndarray:
    body = toy.template()
    corners = view.project(toy.world_vertices(body, frame)).numpy()
    mask = np.zeros((view.height, view.width), np.uint8)
    seen = body_cameras.result.rasterise(corners, body.faces.numpy(), view.height, view.width) >= 0
    mask[seen] = 255
    return mask


def test_cameras_that_do_not_fit_the_body(several, views, rng):
    joints = rng.normal(0, 0.3, (4, 12, 3))
    points = np.zeros((4, 33, 3))
    for camera, view in enumerate(views):
        keypoints(view, points).save(points_path(several, camera))
    nobody = keypoints(views[1], points)
    nobody.detected[:] = False
    nobody.save(points_path(several, 1))
    with Progress(disable=True) as progress:
        with pytest.raises(UserError, match="does not see the person at all"):
            run_stage(CameraFit(FakeFit(joints, 1.0)), several, progress)
        keypoints(views[1], points[:2]).save(points_path(several, 1))
        with pytest.raises(UserError, match="different frames"):
            run_stage(CameraFit(FakeFit(joints, 1.0)), several, progress)
