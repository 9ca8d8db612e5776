"""The console command: its output, files and errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hashhuman.body.smpl import source
from hashhuman.cli import commands
from hashhuman.errors import UserError
from hashhuman.io import lock
from hashhuman.training import refined_masks, refined_poses
from tests import smpl_files, toy


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    body = toy.template()
    return smpl_files.write_tree(tmp_path / "sm pl ä", body, smpl_files.model(body))


def test_a_model_is_described_and_converted(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "made" / "toy.npz"
    assert commands.main(["convert-smpl", str(tree / "SMPL_NEUTRAL.pkl"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for words in ("40 vertices, 60 faces, 5 joints", "3 parameters; mean body 1.62 m tall", "36 pose blend shapes",
                  "coordinates of every vertex", "found by geometry", "smpl_uv.obj", str(out)):  # fmt: skip
        assert words in printed
    assert source.load(out).v_template.shape == (40, 3)
    assert not source.converted_path(tree / "SMPL_NEUTRAL.pkl").exists()


def test_the_default_output_lies_in_the_models_folder(tree: Path, capsys: pytest.CaptureFixture):
    assert commands.main(["convert-smpl", str(tree / "SMPL_NEUTRAL.pkl")]) == 0
    assert source.converted_path(tree / "SMPL_NEUTRAL.pkl").exists()


def test_mistakes_are_one_sentence_and_status_2(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(tmp_path / "touched").encode())
    (tmp_path / "cut.pkl").write_bytes((tree / "SMPL_NEUTRAL.pkl").read_bytes()[:3000])
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    model = str(tree / "SMPL_NEUTRAL.pkl")
    for arguments, word in (
        ([str(tmp_path / "evil.pkl")], "os.system"),
        ([str(tmp_path / "cut.pkl")], "truncated"),
        ([str(tmp_path / "other.npz")], "no v_template"),
        ([str(tmp_path / "gone.pkl")], "does not exist"),
        ([str(tmp_path)], "cannot be read"),
        ([model, "--out", str(tmp_path / "x.pkl")], "must be an .npz"),
        ([model, "--out", "/dev/null/x.npz"], "x.npz"),
    ):
        assert commands.main(["convert-smpl", *arguments]) == 2
        printed = capsys.readouterr()
        assert word in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert not (tmp_path / "touched").exists()


def test_the_command_runs_as_a_module(tree: Path):
    command = [sys.executable, "-m", "hashhuman", "convert-smpl", str(tree / "SMPL_NEUTRAL.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "40 vertices" in done.stdout and not done.stderr


@pytest.mark.parametrize("command", ["write-poses", "write-masks"])
def test_a_subject_has_one_writer(command, tmp_path, capsys, monkeypatch):
    """While a command writes into it, others that would not wait are told whom it belongs to."""

    def written(run: Path, to: Path, *_: object) -> str:
        with pytest.raises(UserError, match="is in use by process"), lock.alone(to, wait=False):
            pass
        return "written"

    monkeypatch.setattr(refined_poses, "write_refined_poses", written)
    monkeypatch.setattr(refined_masks, "write_refined_masks", written)
    assert commands.main([command, str(tmp_path / "run"), "--to", str(tmp_path / "subject")]) == 0
    assert capsys.readouterr().out == "written\n" and not list(tmp_path.iterdir())
