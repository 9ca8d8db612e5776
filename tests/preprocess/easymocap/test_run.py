"""The user's EasyMocap as a subprocess, played by a stand-in."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.progress import Progress

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npz, read_image
from preprocess.easymocap.output import assumed_intrinsics
from preprocess.easymocap.run import EasyMocap
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.stage import run_stages
from tests import smpl_files, toy
from tests.preprocess.easymocap import folders


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return folders.write_pictures(tmp_path / "дата (1) ü" / "subjects" / "foo", toy.camera(0), frames=3)


@pytest.fixture
def easymocap(tmp_path: Path):
    """Makes the stand-in in a folder with a difficult name."""

    root, program = folders.write_easymocap(tmp_path / "Easy Mocap's; 动捕")

    def make(**arguments) -> EasyMocap:
        given = {"python": sys.executable, "emc": str(program), "options": ["--opt_exp", "a.b", "skip"]}
        return EasyMocap(str(root), **(given | arguments))

    return make


def calls(easymocap: EasyMocap) -> list:
    """Arguments, folder and variables of each time that one of the programs was started."""
    assert easymocap.root is not None
    path = easymocap.root / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_finds_keypoints(subject, easymocap):
    tool = easymocap(gpu=3)
    with Progress(disable=True) as progress:
        output = tool.keypoints(subject, progress)
        bar = progress.tasks[0]
    assert (bar.completed, bar.total) == (3, 3)
    people, size = output.people(2)
    assert [one.id for one in people] == [0, 1] and size == (folders.HEIGHT, folders.WIDTH)
    np.testing.assert_allclose(people[0].keypoints, folders.body25(2))
    ((arguments, folder, variables),) = calls(tool)
    assert arguments == [str(subject / "easymocap/keypoints"), "--mode", "yolo-hrnet", "--subs", "00"]
    assert folder == str(tool.root) and variables["CUDA_VISIBLE_DEVICES"] == "3"
    assert variables["PYTHONPATH"].split(":")[0] == str(tool.root)
    assert "3/3" in (subject / "easymocap/keypoints.log").read_text()


def test_fits_bodies(subject, easymocap):
    tool = easymocap()
    with Progress(disable=True) as progress:
        output = tool.bodies(subject, progress)
    bodies = output.bodies(output.people_fitted([0, 1, 2], joints=5), [0, 1, 2], [0])
    np.testing.assert_allclose([body.transl for body in bodies], [folders.transl(frame) for frame in range(3)])
    root = subject / "easymocap/body_fit"
    ((arguments, _, _),) = calls(tool)
    recipe = ["--data", "config/datasets/svimage.yml", "--exp", "config/1v1p/hrnet_pare_finetune.yml", "--root"]
    assert arguments[:6] == [*recipe, str(root)][:6] and arguments[4:6] == ["--root", str(root)]
    assert arguments[6:12] == ["--ranges", "0", "3", "1", "--subs", "00"]
    assert arguments[12:] == ["--out", str(root / "output"), "--opt_exp", "a.b", "skip"]
    pictures = sorted((root / "images/00").iterdir())
    assert [path.name for path in pictures] == ["000000.jpg", "000001.jpg", "000002.jpg"]
    assert abs(read_image(pictures[1]).astype(int) - 50).max() <= 2


def test_does_not_run_again_what_finished(subject, easymocap):
    with Progress(disable=True) as progress:
        easymocap().bodies(subject, progress)
        easymocap().bodies(subject, progress)
        assert len(calls(easymocap())) == 1
        easymocap(force=True).bodies(subject, progress)
        assert len(calls(easymocap())) == 2
        (subject / "easymocap/body_fit/output/smpl/000001.json").write_text("damaged")
        easymocap().bodies(subject, progress)
        assert len(calls(easymocap())) == 3
        easymocap(exp="config/datasets/svimage.yml").bodies(subject, progress)
        assert len(calls(easymocap())) == 4


def test_a_failure_is_told_and_the_next_run_resumes(subject, easymocap, monkeypatch):
    monkeypatch.setenv("FAIL_AT", "1")
    tool, log = easymocap(), subject / "easymocap/body_fit.log"
    with Progress(disable=True) as progress:
        with pytest.raises(UserError, match=r"emc failed with status 1; .*CUDA error: out of memory.*body_fit\.log"):
            tool.bodies(subject, progress)
        monkeypatch.delenv("FAIL_AT")
        tool.bodies(subject, progress)
    assert log.read_text().count("PARE 000000") == 1 and log.read_text().count("PARE 000002") == 1


def test_other_pictures_are_not_taken_for_the_same(subject, easymocap, monkeypatch):
    """What EasyMocap found for a picture is kept under its name; another picture of that name starts anew."""
    monkeypatch.setenv("FAIL_AT", "2")
    with Progress(disable=True) as progress:
        with pytest.raises(UserError):
            easymocap().bodies(subject, progress)
        monkeypatch.delenv("FAIL_AT")
        first = subject / "images/00/000000.png"
        first.write_bytes((subject / "images/00/000002.png").read_bytes())
        easymocap().bodies(subject, progress)
    assert (subject / "easymocap/body_fit.log").read_text().count("PARE 000000") == 2
    copied = read_image(subject / "easymocap/body_fit/images/00/000000.jpg")
    assert abs(copied.astype(int) - 60).max() <= 2


def test_files_that_are_missing_are_told(subject, easymocap):
    tool = easymocap()
    (tool.root / "apps/preprocess/extract_keypoints.py").write_text("print('nothing to do')")
    with Progress(disable=True) as progress, pytest.raises(UserError, match=r"ended without .*000000\.json and 2 more"):
        tool.keypoints(subject, progress)


def test_the_stages_as_configured(tmp_path, easymocap):
    """Keypoints and bodies, from the command line's options to the subject; a second run starts nothing."""
    K = torch.from_numpy(assumed_intrinsics(folders.HEIGHT, folders.WIDTH)).float()
    camera = Camera(K, torch.eye(3), torch.zeros(3), folders.HEIGHT, folders.WIDTH)
    subject = folders.write_pictures(tmp_path / "subject", camera)
    smpl_files.write_pickle(tmp_path / "models/SMPL_NEUTRAL.pkl", folders.ARRAYS)
    chosen = ["preprocess/keypoints=easymocap", "preprocess/body_fit=easymocap", "body=smpl", "video=x"]
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        config = compose("preprocess", [*chosen, "preprocess.keypoints.lift=false"])
    config.body.root = str(tmp_path / "models")
    given = {"root": str(easymocap().root), "python": sys.executable, "emc": easymocap().emc}
    config.preprocess.easymocap.update(given)
    for _ in range(2):
        run_stages([instantiate(config.preprocess[name]) for name in ("keypoints", "body_fit")], subject)
        assert len(calls(easymocap())) == 2
    for frame in range(folders.FRAMES):
        joints, vertices = folders.joints_and_vertices(frame)
        np.testing.assert_allclose(Subject(subject).vertices(frame), vertices, atol=2e-3)
        assert load_npz(subject / "body_fit.npz")["joints"][frame] == pytest.approx(joints, abs=2e-3)
        found = Keypoints.load(points_path(subject)).body25(frame)
        np.testing.assert_allclose(found[2:8], folders.body25(frame)[2:8], atol=1e-3)


def test_what_is_lacking_is_told_before_anything_runs(tmp_path, easymocap):
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        config = compose("preprocess", ["preprocess/body_fit=easymocap", "body=smpl", "video=x"])
    config.body.root = str(tmp_path)
    assert "SMPL_NEUTRAL.pkl does not exist" in instantiate(config.preprocess.body_fit).missing()
    smpl_files.write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", folders.ARRAYS)
    assert "preprocess.easymocap.root=" in instantiate(config.preprocess.body_fit).missing()


def test_says_what_is_not_there(subject, easymocap, tmp_path):
    assert "preprocess.easymocap.root" in (EasyMocap(None).missing() or "")
    assert "no apps/preprocess/extract_keypoints.py" in (EasyMocap(str(tmp_path)).missing() or "")
    assert easymocap().missing() is None
    sentence = easymocap(emc="emc").missing() or ""
    assert sentence.startswith("There is no program emc: install EasyMocap in its environment (`pip install --no-deps ")
    assert "preprocess.easymocap.emc=" in sentence and "preprocess/body_fit=native" in sentence
    absent = easymocap(python="/no/python3")
    with Progress(disable=True) as progress, pytest.raises(UserError, match="no program /no/python3"):
        absent.keypoints(subject, progress)


@pytest.mark.parametrize("program", ["extract_keypoints.py", "emc"])
def test_a_package_that_easymocap_lacks_is_told_before_it_runs(easymocap, program):
    """Both of its programs import the package `easymocap` of its folder, which imports what is absent."""
    tool = easymocap()
    package = Path(tool.root) / "easymocap/__init__.py"
    package.write_text(f"import sys\nif {program!r} in sys.argv[0]:\n    import yacs_of_another_name")
    sentence = tool.missing()
    assert f"{program} does not start (ModuleNotFoundError: No module named 'yacs_of_another_name')" in sentence
    assert "preprocess.easymocap.python=" in sentence and "preprocess/keypoints=blazepose" in sentence
    assert "\n" not in sentence and not calls(tool)
