"""A data set from the command line's options to a subject that training takes, with every check on the way."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from rich.progress import Progress

from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from preprocess.dataset.instant_avatar import InstantAvatar
from preprocess.keypoints.blazepose import BlazePoseKeypoints
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.masks.dataset import DatasetMasks
from preprocess.pipeline import Preprocessing, subject_folder
from tests import smpl_files
from tests.preprocess.dataset import miniature

CONF = str(Path(__file__).parents[3] / "conf")


def options_of(folder: Path, workspace: Path) -> list[str]:
    splits = "{male-3-casual: {train: [0, 3, 1], test: [4, 5, 1]}}"
    return [
        "preprocess=dataset", "preprocess/dataset=instant_avatar", f"video={folder}", "body=smpl_male",
        f"body.root={workspace / 'smpl'}", f"workspace={workspace}", "preprocess.report=null",
        "preprocess.blend_weights=null", f"preprocess.dataset.splits={splits}",
    ]  # fmt: skip


def prepared(options: list[str]) -> Path:
    """The subject."""
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("preprocess", options)
    subject = subject_folder(config.video, Path(config.workspace), config.subject)
    Preprocessing(config.preprocess).prepare(subject)
    return subject


def find_points(stage: BlazePoseKeypoints, subject: Path, progress: Progress) -> str:
    """Stands in for the networks."""
    keypoints = Keypoints.empty(Subject(subject).frames)
    keypoints.save(points_path(subject))
    return ""


def test_a_data_set_becomes_a_subject(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arrays = miniature.model()
    smpl_files.write_pickle(tmp_path / "smpl/basicmodel_m_lbs_10_207_0_v1.0.0.pkl", arrays)
    folder = miniature.instant_avatar(tmp_path / "male-3-casual", miniature.person(6, arrays), np.eye(4))
    subject, _ = (prepared(options_of(folder, tmp_path)) for _ in range(2))
    found = split(Subject(subject))
    assert [[p.frame for p in found[name]] for name in ("train", "novel_pose")] == [[0, 1, 2, 3], [4, 5]]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["frames", "body_fit", "masks", "quality"]
    assert "4 train, 2 novel_pose" in lines[0] and "IoU 1.00" in lines[3]
    assert all("unchanged, skipped" in line for line in lines[4:])


def test_a_data_set_and_its_pictures_alone_share_a_subject_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Points found in all pictures, and the splits of the chosen ones, are of no use to the other."""
    arrays = miniature.model()
    smpl_files.write_pickle(tmp_path / "smpl/basicmodel_m_lbs_10_207_0_v1.0.0.pkl", arrays)
    folder = miniature.instant_avatar(tmp_path / "male-3-casual", miniature.person(6, arrays), np.eye(4))
    left_out = ["preprocess.body_fit=null", "preprocess.masks=null", "preprocess.blend_weights=null",
                "preprocess.quality=null", "preprocess.report=null", "preprocess.gate=false"]  # fmt: skip
    monkeypatch.setattr(BlazePoseKeypoints, "run", find_points)
    alone = [f"video={folder / 'images'}", f"workspace={tmp_path}", "subject=male-3-casual", *left_out]
    few = [*options_of(folder, tmp_path), "preprocess.frames.step=2"]
    subject = prepared(alone)
    assert points_path(subject).exists() and len(Subject(subject).frames) == 6
    assert prepared(few) == subject
    assert "keypoints, made of other files and left out now, deleted" in capsys.readouterr().out
    assert not points_path(subject).exists()
    assert (Subject(subject).splits or {})["train"] == [0, 1]
    prepared(alone)
    assert Subject(subject).splits is None


def test_masks_are_held_against_new_points(tmp_path: Path):
    arrays = miniature.model()
    folder = miniature.instant_avatar(tmp_path / "male-3-casual", miniature.person(6, arrays), np.eye(4))
    stage = DatasetMasks(InstantAvatar(str(folder), {}))
    assert points_path(tmp_path) in stage.inputs(tmp_path)
