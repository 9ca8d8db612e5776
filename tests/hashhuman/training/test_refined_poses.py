"""Refined poses from training to the checkpoint, the evaluation and a subject folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.cli import commands
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.io import files
from hashhuman.training import run
from hashhuman.training.refined_poses import write_refined_poses
from tests import tiny, toy
from tests.test_train import composed


@pytest.fixture(scope="module")
def finished(toy_folder, tmp_path_factory) -> Path:
    """A run of 12 steps on four frames, the second of which is held out."""
    folder = tmp_path_factory.mktemp("refined")
    options = [
        f"data.root={toy_folder}", f"run_dir={folder}", "trainer.max_steps=12", "data.train_frames=4",
        "data.holdout_every=3", "pose=refined", "pose.table.start_step=2", "pose.table.warmup_steps=1",
        "pose.table.lr=0.01", "eval.fit_poses=true", "eval.pose_fit.steps=3", "eval.splits=[heldout]",
    ]  # fmt: skip
    run.train(composed("train", "data=zju_mocap", *tiny.SMALL, *tiny.TOY, *options))
    return folder


def test_training_refines_the_poses_of_its_frames_alone(finished: Path):
    module, data, _ = run.load(finished)
    poses = module.avatar.poses
    assert data.train_frames == [0, 2, 3] == poses.frames.tolist()
    assert (poses.rotation.abs().amax((1, 2)) > 1e-3).all() and (poses.transl.abs().amax(1) > 1e-4).all()
    half = 0.5 * (poses.rotation[0] + poses.rotation[1])
    torch.testing.assert_close(poses.correction(1).rotation, half.detach())
    report = json.loads((finished / "evaluation/metrics.json").read_text())
    mean = report["splits"]["heldout"]["mean"]
    assert mean["psnr_box"] > 0 and mean["psnr_box_fitted"] > 0 and mean["psnr_box"] != mean["psnr_box_fitted"]


def test_refined_poses_are_written_as_a_subject_folder_holds_them(finished: Path, toy_folder: Path, tmp_path: Path):
    assert commands.main(["write-poses", str(finished), "--to", str(tmp_path)]) == 0
    module, data, _ = run.load(finished)
    template = data.subject.template()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["smpl_params", "smpl_vertices"]
    for frame in data.subject.posed_frames:
        params = files.load_npy(tmp_path / f"smpl_params/{frame}.npy")
        fitted = files.load_npy(toy_folder / f"smpl_params/{frame}.npy")
        expected = module.avatar.refined_pose(data.subject.pose(frame), frame)
        np.testing.assert_array_equal(params["poses"].reshape(-1, 3), expected.body_pose)
        np.testing.assert_array_equal(params["Rh"][0], expected.orient)
        np.testing.assert_array_equal(params["shapes"], fitted["shapes"])
        assert np.array_equal(params["Rh"], fitted["Rh"]) == (frame > 3)  # outside the window they are the fitted ones
        vertices = skinning.transform(expected.world_from_posed(), template.pose_vertices(expected.body_pose))
        np.testing.assert_allclose(np.load(tmp_path / f"smpl_vertices/{frame}.npy"), vertices, atol=1e-5)


def test_a_fit_is_replaced_only_on_request_and_kept(finished: Path, tmp_path: Path, capsys):
    subject = toy.write_subject(tmp_path / "toy", n_frames=2)
    before = files.load_npy(subject / "smpl_params/0.npy")
    assert commands.main(["write-poses", str(finished), "--to", str(subject)]) == 2
    assert "smpl_params exists: name another folder with --to" in capsys.readouterr().err
    np.testing.assert_array_equal(files.load_npy(subject / "smpl_params/0.npy")["Rh"], before["Rh"])
    write_refined_poses(finished, subject, replace=True)
    np.testing.assert_array_equal(files.load_npy(subject / "smpl_params_fitted/0.npy")["Rh"], before["Rh"])
    assert not np.array_equal(files.load_npy(subject / "smpl_params/0.npy")["Rh"], before["Rh"])
    assert Subject(subject).posed_frames == list(range(6))
    with pytest.raises(UserError, match="smpl_params_fitted exists already, and holds an earlier fit"):
        write_refined_poses(finished, subject, replace=True)
