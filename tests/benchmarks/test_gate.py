"""Known errors of bodies, and the findings of the checks on them, with the toy."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gate
from hashhuman.data.subject import Subject
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.quality import world_joints
from preprocess.skeleton import NAMES
from tests import toy
from tests.preprocess.subjects import NAMED


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_subject(tmp_path_factory.mktemp("scenes") / "toy", n_frames=8)


@pytest.fixture(scope="module")
def case(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> gate.Case:
    """The toy, and points that lie on its joints."""
    reader, subject = Subject(scene), tmp_path_factory.mktemp("subjects")
    keypoints = Keypoints.empty(reader.frames)
    keypoints.detected[:] = True
    for frame in reader.frames:
        joints = torch.from_numpy(world_joints(reader.pose(frame), reader.template()))
        pixels = reader.camera(0).project(joints).numpy()
        for name in NAMED:
            keypoints.image_points[frame, NAMES.index(name)] = pixels[toy.JOINT_NAMES.index(name), :2]
            keypoints.visibility[frame, NAMES.index(name)] = 1
    keypoints.save(points_path(subject))
    return gate.opened(scene, subject)


def spoilt(case: gate.Case, change: gate.Change) -> gate.Case:
    return change(case, np.random.default_rng(0))


def joints(case: gate.Case) -> np.ndarray:
    return np.stack([world_joints(pose, case.template) for pose in case.poses])


def pixels(case: gate.Case) -> np.ndarray:
    return case.camera.project(torch.from_numpy(joints(case))).numpy()


def test_moved_along_the_cameras_axes(case: gate.Case):
    before = joints(case) @ case.camera.R.numpy().T
    after = joints(spoilt(case, gate.moved((0.1, -0.2, 0.3)))) @ case.camera.R.numpy().T
    np.testing.assert_allclose(after - before, np.broadcast_to([0.1, -0.2, 0.3], before.shape), atol=1e-5)


def test_taller_about_the_pelvis(case: gate.Case):
    before, after = joints(case), joints(spoilt(case, gate.taller(1.5)))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-5)
    np.testing.assert_allclose(after - after[:, :1], 1.5 * (before - before[:, :1]), atol=1e-5)


def test_a_taller_body_farther_away_has_the_same_picture(case: gate.Case):
    before, after = pixels(case), pixels(spoilt(case, gate.enlarged(1.25)))
    np.testing.assert_allclose(after[..., :2], before[..., :2], atol=1e-2)
    np.testing.assert_allclose(after[..., 2], 1.25 * before[..., 2], rtol=1e-4)


def test_another_focal_length(case: gate.Case):
    middle = case.camera.K[:2, 2].numpy()
    before, after = pixels(case)[..., :2], pixels(spoilt(case, gate.zoomed(1.1)))[..., :2]
    np.testing.assert_allclose(after - middle, 1.1 * (before - middle), atol=1e-3)


def test_left_and_right(case: gate.Case):
    once = spoilt(case, gate.exchanged)
    left, right = NAMES.index("left_shoulder"), NAMES.index("right_shoulder")
    np.testing.assert_array_equal(once.keypoints.image_points[:, left], case.keypoints.image_points[:, right])
    assert sorted(gate.EXCHANGED) == list(range(len(NAMES))) and gate.EXCHANGED[0] == 0
    assert gate.EXCHANGED[NAMES.index("mouth_left")] == NAMES.index("mouth_right")
    np.testing.assert_array_equal(spoilt(once, gate.exchanged).keypoints.visibility, case.keypoints.visibility)


def test_noise_is_as_large_as_it_says(case: gate.Case):
    many = dataclasses.replace(case, poses=case.poses * 200)
    shaken = gate.trembling(0.01, 3)(many, np.random.default_rng(1)).poses
    turns = torch.stack([a.body_pose - b.body_pose for a, b in zip(shaken, many.poses)])
    shift = torch.stack([a.transl - b.transl for a, b in zip(shaken, many.poses)])
    assert float(shift.std()) == pytest.approx(0.01, rel=0.05) and (turns[:, 0] == 0).all()
    assert float(torch.rad2deg(turns[:, 1:]).std()) == pytest.approx(3, rel=0.05)


def test_late_bodies_and_partial_changes(case: gate.Case):
    assert spoilt(case, gate.late(3)).poses == [case.poses[i] for i in (0, 0, 0, 0, 1, 2, 3, 4)]
    partly = spoilt(case, gate.in_part(gate.moved((1, 0, 0)), 0.25)).poses
    assert partly[2:] == case.poses[2:] and not any(a is b for a, b in zip(partly[:2], case.poses))


def test_the_checks_distinguish_true_and_changed_bodies(scene: Path, case: gate.Case):
    names = ("the true body", "left and right exchanged", "10 % too tall, and as much farther away")
    true, exchanged, farther = (gate.judged(scene, spoilt(case, gate.CHANGES[name])) for name in names)
    off, overlap, *_, verdict, wrong = gate.cells([true, exchanged])
    assert off.startswith("0.0, ") and overlap == "1.00, 1.00" and verdict.endswith(", bad")
    assert "skeleton off the points" in wrong
    np.testing.assert_allclose(farther.reprojection, true.reprojection, atol=1e-2)
    np.testing.assert_allclose(farther.silhouette_iou, true.silhouette_iou, atol=0.01)
    assert true.frames.tolist() == list(range(8)) and true.cameras == ("00",)
