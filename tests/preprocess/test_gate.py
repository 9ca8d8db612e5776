"""Preprocessing lets a good fit pass, and refuses a body that does not lie on the person."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import load_npy, save_npy
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.pipeline import Preprocessing
from preprocess.skeleton import NAMES
from tests import toy
from tests.preprocess.doctor import limits
from tests.preprocess.subjects import finished_toy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_toy(tmp_path_factory.mktemp("finished") / "toy")


@pytest.fixture
def subject(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "toy"))


def prepare(subject: Path, gate: bool = True, force: bool = False) -> None:
    """Measures the fit, and holds it against the limits that the program comes with."""
    quality = {"_target_": "preprocess.quality.MeasuredQuality"}
    Preprocessing({"quality": quality, "doctor": limits.node(), "force": force, "gate": gate}).prepare(subject)


def shift(subject: Path) -> None:
    reader, writer = Subject(subject), SubjectWriter(subject)
    for frame in reader.posed_frames:
        writer.write_vertices(frame, reader.vertices(frame) + np.array([0.4, 0, 0], np.float32))
        pose = reader.pose(frame)
        writer.write_pose(frame, type(pose)(pose.body_pose, pose.orient, pose.transl + torch.tensor([0.4, 0, 0])))


def exchange_left_and_right(subject: Path) -> None:
    keypoints = Keypoints.load(points_path(subject))
    sides = [NAMES.index("left_shoulder"), NAMES.index("right_shoulder")]
    keypoints.image_points[:, sides] = keypoints.image_points[:, sides[::-1]]
    keypoints.save(points_path(subject))


def take_another_focal_length(subject: Path) -> None:
    annots = load_npy(subject / "annots.npy")
    for K in annots["cams"]["K"]:
        K[:2, :2] *= 1.4
    save_npy(subject / "annots.npy", annots)


def test_a_good_fit_passes(subject: Path):
    prepare(subject)
    assert (subject / "quality.npz").exists()


@pytest.mark.parametrize("spoil", [shift, exchange_left_and_right, take_another_focal_length])
def test_a_bad_fit_is_refused(subject: Path, spoil):
    prepare(subject)
    spoil(subject)
    with pytest.raises(UserError, match="not good enough to train on") as refused:
        prepare(subject)
    assert f"pictures/body_fit in {subject}" in str(refused.value)
    with pytest.raises(UserError):  # measured already, and refused again
        prepare(subject)
    prepare(subject, gate=False)


def test_what_is_not_measured_is_not_judged(subject: Path):
    shift(subject)
    Preprocessing({"doctor": limits.node(), "force": False, "gate": True}).prepare(subject)
    assert not (subject / "quality.npz").exists()


def test_the_toy_can_tell_left_from_right():
    assert {"left_shoulder", "right_shoulder", "left_hip"} == {name for name in toy.JOINT_NAMES if name in NAMES}
