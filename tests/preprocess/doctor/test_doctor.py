"""`python -m preprocess.doctor` as a whole: what it checks, what it says, how it ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from hashhuman.cli import hydra_main
from hashhuman.errors import UserError
from hashhuman.io.files import save_json
from preprocess.doctor import __main__ as program
from preprocess.doctor import detect, examine
from preprocess.findings import Finding, Verdict, worst
from preprocess.quality import MeasuredQuality, quality_path
from preprocess.stage import run_stages
from tests.preprocess import actors
from tests.preprocess.body_fit.source import tools
from tests.preprocess.clips import damage, grey_levels, write_video
from tests.preprocess.subjects import finished_toy

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes the node `preprocess` for a small video."""
    video = write_video(tmp_path / "clip.mp4", [actors.picture(0)] * 20)

    def make(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
            return compose("preprocess", [f"video='{video}'", *overrides])

    return make


@pytest.fixture
def _actor(monkeypatch: pytest.MonkeyPatch):
    script = [{"person": (160, 120)}]
    monkeypatch.setattr(detect, "MoveNet", lambda: actors.FakeMoveNet(script))
    monkeypatch.setattr(detect, "PoseNetwork", lambda: actors.FakePoseNetwork(script))


def examined(config: DictConfig, subject: Path) -> list[Finding]:
    return examine.examine(config.preprocess, instantiate(config.body), subject, subject.parent)


def topics(findings: list[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.topic for finding in findings))


@pytest.mark.usefixtures("_actor")
def test_before_preprocessing(config, tmp_path: Path):
    findings = examined(config(), tmp_path / "subject")
    assert topics(findings) == ["installed", "machine", "weights", "clip", "fit"]
    values = {finding.name: finding.value for finding in findings}
    assert values["pictures"] == "20" and values["size"] == "320 x 240" and values["rate"] == "25 per second"
    assert values["person found"] == "12 of 12 pictures" and values["fit"] == "not made yet"
    assert not (tmp_path / "subject").exists()


@pytest.mark.usefixtures("_actor")
def test_poses_of_another_tool(config, tmp_path: Path):
    tools.DUMP["wham"](tmp_path / "wham.pkl", tools.wham(tools.Truth(0)))
    options = ["preprocess/body_fit=import", f"preprocess.body_fit.path='{tmp_path / 'wham.pkl'}'"]
    read = examined(config(*options, "preprocess/body_fit/source=wham"), tmp_path / "subject")
    assert topics(read) == ["installed", "machine", "weights", "clip", "poses", "fit"]
    values = {finding.name: finding.value for finding in read if finding.topic == "poses"}
    assert values["pictures"] == "25 % of the pictures; numbered 2 to 7"  # of 20
    other = examined(config(*options), tmp_path / "subject")
    advice = [finding.advice for finding in other if finding.topic == "poses"]
    assert advice == ["use preprocess/body_fit/source=wham"]


@pytest.mark.usefixtures("_actor")
def test_what_the_frames_stage_is_going_to_write(config, tmp_path: Path):
    overrides = ["preprocess.frames.start=4", "preprocess.frames.step=2", "preprocess.frames.max_size=160"]
    findings = examined(config(*overrides), tmp_path / "subject")
    values = {finding.name: finding.value for finding in findings}
    assert values["size"] == "320 x 240 as filmed, 160 x 120 as used"
    assert values["pictures"] == "8" and values["rate"] == "12.5 per second"


@pytest.mark.usefixtures("_actor")
def test_each_of_several_recordings(config, tmp_path: Path):
    lens = {"K": [[300, 0, 159.5], [0, 300, 119.5], [0, 0, 1]], "R": [0, 0, 0], "height": 240, "width": 320}
    for name, pictures in {"left": 20, "right": 30}.items():
        write_video(tmp_path / "rig" / f"{name}.mp4", [actors.picture(0)] * pictures)
    save_json(tmp_path / "rig.json", {"left": lens | {"T": [0, 0, 3]}, "right": lens | {"T": [1, 0, 3]}})
    rig = (f"video='{tmp_path / 'rig'}'", f"preprocess.frames.calibration='{tmp_path / 'rig.json'}'")
    findings = examined(config("preprocess=cameras", *rig), tmp_path / "subject")
    assert topics(findings) == ["installed", "machine", "weights", "clip left", "clip right", "fit"]
    values = {(finding.topic, finding.name): finding.value for finding in findings}
    assert (values["clip left", "pictures"], values["clip right", "pictures"]) == ("20", "30")
    assert values["clip right", "person found"] == "12 of 12 pictures"


@pytest.mark.usefixtures("_actor")
def test_after_preprocessing(config, tmp_path: Path):
    subject = finished_toy(tmp_path / "subject")
    run_stages([MeasuredQuality()], subject)
    fit = [finding for finding in examined(config(), subject) if finding.topic == "fit"]
    assert len(fit) == 7 and fit[0].value.startswith("0.0 px")
    (subject / "mask/00/000003.png").unlink()
    (fit,) = [finding for finding in examined(config(), subject) if finding.topic == "fit"]
    assert fit.verdict is Verdict.WARN and "changed" in fit.value
    quality_path(subject).unlink()


@pytest.mark.usefixtures("_actor")
def test_a_body_of_the_users_own(config, tmp_path: Path):
    def model() -> Finding:
        findings = examined(config("body=smpl", f"body.root='{tmp_path}'"), tmp_path / "subject")
        return next(finding for finding in findings if finding.name == "SMPL_NEUTRAL.pkl")

    assert model().verdict is Verdict.BAD and "body.root" in model().advice
    (tmp_path / "SMPL_NEUTRAL.pkl").touch()
    assert model().verdict is Verdict.OK


def test_networks_that_cannot_be_had(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise UserError("no network today.")

    monkeypatch.setattr(detect, "MoveNet", fail)
    findings = examined(config(), tmp_path / "subject")
    assert "fit" in topics(findings) and worst(findings) is Verdict.BAD
    assert [finding.advice for finding in findings if finding.topic == "clip"] == ["no network today."]


def test_a_picture_that_does_not_decode(config, tmp_path: Path):
    clip = write_video(tmp_path / "broken.mp4", grey_levels(6))
    damage(clip, 0)
    with pytest.raises(UserError, match=r"broken.mp4"):
        examined(config(f"preprocess.frames.video='{clip}'"), tmp_path / "subject")


@pytest.mark.parametrize(("name", "sentence"), [("absent.mp4", "there is no video"), ("notes.mp4", "cannot be read")])
def test_a_broken_video_is_one_sentence(tmp_path: Path, name: str, sentence: str):
    (tmp_path / "notes.mp4").write_text("no pictures in here")
    command = [sys.executable, "-m", "preprocess.doctor", f"video={tmp_path / name}", f"workspace={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert sentence in done.stderr and done.stderr.count("\n") == 1


def test_from_any_folder_with_a_path_alone(tmp_path: Path):
    (tmp_path / "notes.mp4").write_text("no pictures in here")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])}
    done = subprocess.run(
        [sys.executable, "-m", "preprocess.doctor", "notes.mp4"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("notes.mp4 cannot be read as a video")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.mp4"]


@pytest.mark.parametrize(("verdict", "bad"), [(Verdict.OK, False), (Verdict.WARN, False), (Verdict.BAD, True)])
def test_the_exit_status_tells_what_is_bad(
    verdict: Verdict, bad: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HYDRA_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR", "0"))  # restored afterwards
    monkeypatch.setattr(examine, "examine", lambda *_: [Finding("clip", "rate", "3 a second", verdict)])
    monkeypatch.setattr(program, "VERDICTS", [])
    monkeypatch.setattr(sys, "argv", ["doctor", "video=clip", f"workspace={tmp_path}"])
    hydra_main.run(program.main, str(REPOSITORY / "conf"), "preprocess")
    assert list(program.VERDICTS) == [bad]
    assert f"{verdict.word}" in capsys.readouterr().out
