"""The figures of a fit, against others' arithmetic and hand-made faults."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from hashhuman.body.template import BodyPose
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import load_npy, save_npy, save_npz
from preprocess.body_fit.cameras import scaled
from preprocess.body_fit.result import report_path
from preprocess.findings import Verdict
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.quality import (
    MeasuredQuality,
    Quality,
    beyond_limits,
    jitter,
    measure,
    person_height,
    quality_path,
    reprojection,
    world_joints,
)
from preprocess.skeleton import NAMES
from preprocess.stage import is_finished, run_stages
from tests import toy
from tests.preprocess.doctor.limits import checks
from tests.preprocess.subjects import NAMED, finished_toy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_toy(tmp_path_factory.mktemp("finished") / "toy", absent=(5,))


@pytest.fixture
def subject(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "toy"))


def measured(subject: Path) -> Quality:
    with Progress(disable=True) as progress:
        return measure(subject, progress)


def move(subject: Path, shift: tuple[float, float, float]) -> None:
    """Puts the body elsewhere (m)."""
    reader, writer = Subject(subject), SubjectWriter(subject)
    for frame in reader.posed_frames:
        pose, vertices = reader.pose(frame), reader.vertices(frame)
        writer.write_pose(frame, dataclasses.replace(pose, transl=pose.transl + torch.tensor(shift)))
        writer.write_vertices(frame, vertices + np.array(shift, np.float32))


def test_a_body_that_lies_on_the_person(finished: Path):
    quality = measured(finished)
    assert quality.frames.tolist() == list(range(8))
    seen = quality.frames != 5
    assert quality.cameras == ("00",) and quality.height.shape == (1, 8)
    np.testing.assert_allclose(quality.reprojection[0, seen], 0, atol=1e-3)
    assert np.isnan(quality.reprojection[0, 5])
    assert quality.silhouette_iou[0, seen].min() > 0.9 and quality.height[0, seen].min() > 60
    assert not quality.interpolated.any() and not quality.flipped.any()


def test_a_body_beside_the_person(subject: Path):
    before = measured(subject)
    camera = Subject(subject).camera(0)
    along_x = camera.R[0] * 0.2
    move(subject, (float(along_x[0]), float(along_x[1]), float(along_x[2])))
    after = measured(subject)
    expected = camera.K[0, 0].item() * 0.2 / 3  # 20 cm at about 3 m
    assert np.nanmedian(after.reprojection) == pytest.approx(expected, rel=0.15)
    assert np.nanmedian(after.silhouette_iou) < 0.7 * np.nanmedian(before.silhouette_iou)
    np.testing.assert_allclose(after.jitter, before.jitter, atol=1e-3)


@pytest.fixture
def seen_by_three(tmp_path: Path) -> Path:
    """Six frames of the toy, with points that lie on its joints in every camera; one picture is missing."""
    root = toy.write_subject(tmp_path / "three", n_cameras=3)
    reader = Subject(root)
    for camera in range(3):
        keypoints = Keypoints.empty(reader.frames)
        keypoints.detected[:] = True
        for frame in reader.frames:
            joints = torch.from_numpy(world_joints(reader.pose(frame), reader.template()))
            pixels = reader.camera(camera).project(joints).numpy()
            for name in NAMED:
                keypoints.image_points[frame, NAMES.index(name)] = pixels[toy.JOINT_NAMES.index(name), :2]
                keypoints.visibility[frame, NAMES.index(name)] = 1
        keypoints.save(points_path(root, camera))
    (root / "images/02/000004.png").unlink()
    return root


def test_every_camera_is_looked_at(seen_by_three: Path):
    quality = measured(seen_by_three)
    assert quality.cameras == ("00", "01", "02") and quality.frames.tolist() == list(range(6))
    assert quality.reprojection.max() < 1e-3
    absent = np.zeros((3, 6), bool)
    absent[2, 4] = True
    np.testing.assert_array_equal(np.isnan(quality.silhouette_iou), absent)
    assert np.nanmin(quality.silhouette_iou) > 0.85
    assert checks("fit")(quality)[3].value == "points off by 0.0 % of the height, IoU 1.00"


def test_a_body_too_far_away_is_seen_by_the_other_cameras(seen_by_three: Path):
    """Along the first camera's axis, where it cannot tell: the others can."""
    before, reader, writer = measured(seen_by_three), Subject(seen_by_three), SubjectWriter(seen_by_three)
    center, further = reader.camera(0).center, 1.15
    writer.write_template(scaled(reader.template(), further))
    for frame in reader.frames:
        pose, vertices = reader.pose(frame), torch.from_numpy(reader.vertices(frame))
        writer.write_pose(frame, dataclasses.replace(pose, transl=center + further * (pose.transl - center)))
        writer.write_vertices(frame, (center + further * (vertices - center)).numpy())
    after = measured(seen_by_three)
    np.testing.assert_allclose(after.silhouette_iou[0], before.silhouette_iou[0], atol=0.02)
    assert after.reprojection[0].max() < 0.05 < 1 < after.reprojection[1:].min()
    assert (np.nanmedian(after.silhouette_iou[1:], 1) < 0.8).all()
    found = {finding.name: finding.verdict for finding in checks("fit")(after)}
    assert found["skeleton off the points"] is found["body over the mask"] is Verdict.OK
    assert found["seen by camera 01"] is found["seen by camera 02"] is Verdict.WARN


def test_what_the_fit_says_of_its_frames(subject: Path):
    flags = {"interpolated": np.arange(8) == 5, "flipped": np.arange(8) < 2}
    save_npz(report_path(subject), {"frames": np.arange(8), **flags})
    quality = measured(subject)
    assert quality.interpolated.tolist() == flags["interpolated"].tolist()
    assert quality.flipped.tolist() == flags["flipped"].tolist()


def test_without_points_and_masks_nothing_is_known(subject: Path):
    points_path(subject).unlink()
    for folder in ("mask", "schp"):
        shutil.rmtree(subject / folder)
    quality = measured(subject)
    assert np.isnan(quality.off).all() and np.isnan(quality.silhouette_iou).all()


def test_the_stage_is_redone_when_the_body_changes(subject: Path):
    stage = MeasuredQuality()
    run_stages([stage], subject)
    loaded, again = Quality.load(quality_path(subject)), measured(subject)
    for name, value in vars(loaded).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert is_finished(stage, subject)
    move(subject, (0.1, 0, 0))
    assert not is_finished(stage, subject)


def test_a_file_of_another_version(tmp_path: Path):
    save_npz(quality_path(tmp_path), {"frames": np.arange(3)})
    with pytest.raises(UserError, match="is damaged, or of another version"):
        Quality.load(quality_path(tmp_path))


def test_jitter_is_the_distance_from_a_cubic():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(9, 3, 3))
    expected = []
    for frame in range(2, 7):
        distances = []
        for joint in range(3):
            path = joints[:, joint] - (joints[:, 0] if joint else 0)
            at = np.array([-2, -1, 1, 2])
            middle = [np.polyfit(at, path[frame + at, axis], 3)[-1] for axis in range(3)]
            distances.append(1000 * np.linalg.norm(path[frame] - middle))
        expected.append(np.mean(distances))
    found = jitter(joints)
    np.testing.assert_allclose(found[2:-2], expected)
    assert np.isnan(found[[0, 1, -2, -1]]).all()


@pytest.mark.parametrize("step", [1, 3, 9, 15])
def test_jitter_is_judged_by_time(step: int):
    """Arms that swing by 30 cm once a second, filmed at 50 pictures a second, of which every n-th is taken."""
    seconds = np.arange(0, 8, step / 50)
    swing = 0.3 * np.sin(2 * np.pi * seconds)
    joints = np.stack([0 * seconds, swing, -swing], 1)[..., None] * np.array([1.0, 0.3, 0])
    assert np.nanmedian(jitter(joints, seconds)) < 8
    if step == 1:  # noise is judged as before
        noisy = joints + np.random.default_rng(0).normal(0, 0.01, joints.shape)
        np.testing.assert_allclose(jitter(noisy, seconds), jitter(noisy))
        assert np.nanmedian(jitter(noisy, seconds)) > 25


def test_smooth_motion_has_no_jitter():
    t = np.linspace(0, 1, 12)[:, None, None]
    assert np.nanmax(jitter(np.array([1.0, 2, 3]) * t**3 + np.array([[0.1, 0, 0], [0, 1, 0]]))) < 1e-9


def test_joints_beyond_their_range():
    names = ("pelvis", "left_knee", "right_knee", "left_hip", "right_hip", "wing")
    poses = torch.zeros(4, 6, 3)
    poses[0, 0], poses[0, 5] = 3.0, 3.0  # no range: nothing is beyond it
    poses[1, 1, 0] = np.radians(-40)  # knees bend one way, by three degrees the other
    poses[2, 4, 2] = np.radians(-90)  # the right hip's outward is the left one's inward
    poses[3, 3, 2] = np.radians(70)
    excess, worst = beyond_limits(poses, names)
    np.testing.assert_allclose(excess, [0, 37, 15, 0], atol=1e-3)
    assert worst[1:3].tolist() == [1, 4]


def test_reprojection_takes_what_is_visible_and_named():
    view = toy.camera(0)
    joints = world_joints(toy.pose(0), toy.template())
    points, visibility = np.zeros((len(NAMES), 2)), np.zeros(len(NAMES))
    assert np.isnan(reprojection(joints, toy.JOINT_NAMES, view, points, visibility))
    for name, off in (("left_shoulder", (3, 4)), ("left_hip", (0, 1)), ("right_shoulder", (100, 0))):
        x = view.R.numpy() @ joints[toy.JOINT_NAMES.index(name)] + view.T.numpy()
        points[NAMES.index(name)] = (view.K.numpy() @ x)[:2] / x[2] + off
        visibility[NAMES.index(name)] = name != "right_shoulder"
    assert reprojection(joints, toy.JOINT_NAMES, view, points, visibility) == pytest.approx(3.0, abs=1e-4)


def test_joints_of_the_world_are_those_of_the_posed_vertices():
    """A joint that no rotation but the global one moves goes where a vertex at its place would go."""
    body, pose = toy.template(), toy.pose(3)
    still = BodyPose(torch.zeros_like(pose.body_pose), pose.orient, pose.transl)
    matrix = still.world_from_posed().numpy()
    expected = body.joints.numpy() @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(world_joints(still, body), expected, atol=1e-6)


def test_height_of_a_mask():
    mask = np.zeros((40, 50), np.uint8)
    assert np.isnan(person_height(mask))
    mask[5:25, 10:14] = 200
    mask[30, 30] = 100  # less than half covered
    assert person_height(mask) == 20
    mask[7, 10:45] = 255
    assert person_height(mask) == 35


def test_another_focal_length(subject: Path):
    annots = load_npy(subject / "annots.npy")
    for K in annots["cams"]["K"]:
        K[:2, :2] *= 1.4
    save_npy(subject / "annots.npy", annots)
    assert np.nanmedian(measured(subject).silhouette_iou) < 0.65


def test_bodies_of_other_pictures_are_noticed(tmp_path: Path):
    """The toy's points of each picture, against its bodies of six pictures earlier."""
    root = finished_toy(tmp_path / "toy", frames=24)
    assert measured(root).shift == 0
    reader, writer = Subject(root), SubjectWriter(root)
    given = {frame: (reader.pose(frame), reader.vertices(frame)) for frame in reader.posed_frames}
    for frame in reader.posed_frames:
        pose, vertices = given[max(frame - 6, 0)]
        writer.write_pose(frame, pose)
        writer.write_vertices(frame, vertices)
    quality = measured(root)
    assert quality.shift == 6
    finding = next(each for each in checks("fit")(quality) if each.name == "body against the points")
    assert finding.verdict is Verdict.BAD and finding.value == "6 pictures late"
