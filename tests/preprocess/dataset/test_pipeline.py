"""A data set from the command line's options to a subject that training takes, with every check on the way."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from preprocess.pipeline import Preprocessing, subject_folder
from tests import smpl_files
from tests.preprocess.dataset import miniature

CONF = str(Path(__file__).parents[3] / "conf")


def test_a_data_set_becomes_a_subject(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arrays = miniature.model()
    smpl_files.write_pickle(tmp_path / "smpl/basicmodel_m_lbs_10_207_0_v1.0.0.pkl", arrays)
    folder = miniature.instant_avatar(tmp_path / "male-3-casual", miniature.person(6, arrays), np.eye(4))
    splits = "{male-3-casual: {train: [0, 3, 1], test: [4, 5, 1]}}"
    options = [
        "preprocess=dataset", "preprocess/dataset=instant_avatar", f"video={folder}", "body=smpl_male",
        f"body.root={tmp_path / 'smpl'}", f"workspace={tmp_path}", "preprocess.report=null",
        "preprocess.blend_weights=null", f"preprocess.dataset.splits={splits}",
    ]  # fmt: skip
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("preprocess", options)
    subject = subject_folder(config.video, Path(config.workspace), config.subject)
    for _ in range(2):
        Preprocessing(config.preprocess).prepare(subject)
    found = split(Subject(subject))
    assert [[p.frame for p in found[name]] for name in ("train", "novel_pose")] == [[0, 1, 2, 3], [4, 5]]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["frames", "body_fit", "masks", "quality"]
    assert "4 train, 2 novel_pose" in lines[0] and "IoU 1.00" in lines[3]
    assert all("unchanged, skipped" in line for line in lines[4:])
