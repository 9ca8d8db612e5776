"""train.py is stopped and goes on: by the same command, to the same result, with everything that a run folder holds."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.errors import HydraException

import eval as program
import train
from hashhuman.checks import targets
from hashhuman.errors import UserError
from hashhuman.io import checkpoint, files, interruption, leftovers, lock
from hashhuman.training import resume, run, run_folder
from hashhuman.training.manifest import Manifest
from tests.processes import PATIENCE
from tests.test_train import composed
from tests.tiny import SMALL, TOY

ROOT = Path(__file__).parents[1]
STEPS, EPOCH = 30, 12
ERRORS = ("data.ray_sampler.shares.errors=0.3", "data.ray_sampler.error_map.every=3")  # more state to go on from
STEP_FILE = "checkpoints/step_{:08d}.ckpt"


def options(root: Path, folder: Path, *more: str) -> list[str]:
    """A tiny run with two epochs and a half, pruned, validated, and evaluated on a picture of each split."""
    return [
        "data=zju_mocap", "exposure=learned", *ERRORS, *SMALL, *TOY, f"data.root={root}", f"run_dir={folder}",
        f"trainer.max_steps={STEPS}",
        "data.train_frames=4", "data.holdout_every=3", f"data.batches_per_epoch={EPOCH}", "data.val_views=1",
        "avatar.prune_after=8", "avatar.prune_every=4", "eval.most=1", "log_every=5",
        "callbacks.checkpoint.every_steps=4", "callbacks.checkpoint.every_s=null",
        "+callbacks.strike._target_=tests.strike.Strike", "+callbacks.strike.marker=${run_dir}/struck", *more,
    ]  # fmt: skip


def struck(step: int, signum: int | None = None, times: int = 1) -> list[str]:
    """Options that end training after a step."""
    words = [f"+callbacks.strike.step={step}", f"+callbacks.strike.signum={'null' if signum is None else int(signum)}"]
    return [*words, f"+callbacks.strike.times={times}"]


def comparable(folder: Path) -> dict[str, object]:
    """Everything of a run that must not depend on whether it was stopped: no times, no paths."""
    metrics = files.load_json(folder / "evaluation/metrics.json")
    for split in metrics["splits"].values():
        for row in (split["mean"], *split["each"]):
            row.pop("render_ms", None)
    pictures = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))
    }  # of the evaluation and of validation
    rows = (folder / "logs/metrics.csv").read_text().splitlines()
    times = {"heldout/render_ms", "novel_view/render_ms", "novel_pose/render_ms"}
    names = rows[0].split(",")
    kept = [i for i, name in enumerate(names) if name not in times]
    lines = [[row.split(",")[i] for i in kept] for row in rows]
    return {"metrics": metrics, "pictures": pictures, "lines": lines}


def assert_same_result(folder: Path, other: Path) -> None:
    """Bit for bit."""
    mine, theirs = (checkpoint.load(f / run_folder.CHECKPOINT) for f in (folder, other))
    assert mine["step"] == theirs["step"] == STEPS and mine["state_dict"].keys() == theirs["state_dict"].keys()
    assert mine["state_dict"]["exposure.raw"].abs().max() > 0
    for name, tensor in mine["state_dict"].items():
        assert torch.equal(tensor, theirs["state_dict"][name]), name
    assert comparable(folder) == comparable(other)


@pytest.fixture(autouse=True)
def _admitted(monkeypatch: pytest.MonkeyPatch):
    """Runs may name the class of these tests."""
    project = targets.admitted
    monkeypatch.setattr(targets, "admitted", lambda names=(): project([*names, "tests.strike.Strike"]))


@pytest.fixture(scope="module")
def uninterrupted(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped. Shared: do not write into it."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train.main(composed("train", *options(toy_folder, folder, *struck(-1))))
    return folder


@pytest.mark.parametrize("step", [2, 7, EPOCH, 25, STEPS])
def test_after_a_crash_the_same_command_goes_on_to_the_same_result(step, uninterrupted, toy_folder, tmp_path, capsys):
    """Before the first checkpoint, within an epoch, at the end of one, in the last one and after the last step."""
    config = options(toy_folder, tmp_path / "run", *struck(step))
    with pytest.raises(ZeroDivisionError):
        train.main(composed("train", *config))
    saved = (step - 1) // 4 * 4  # the state before a step is saved when that step begins
    names = sorted(path.name for path in (tmp_path / "run").glob("checkpoints/*"))
    assert names == [f"step_{s:08d}.ckpt" for s in (saved - 4, saved) if s > 0]
    with pytest.raises(UserError, match=rf"has not ended, .*\(last checkpoint: step {saved}\); go on with"):
        run.load(tmp_path / "run")
    capsys.readouterr()
    train.main(composed("train", *config))
    said = capsys.readouterr().out
    assert (f"going on after step {saved} in {tmp_path / 'run'}" in said) == (saved > 0)
    assert_same_result(tmp_path / "run", uninterrupted)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["last.ckpt"]
    assert files.load_json(tmp_path / "run/timing.json")["steps"] == STEPS


def test_refined_poses_go_on_to_the_same_result(toy_folder, tmp_path):
    """The search index holds some bodies as they were some steps ago, others as fitted; both are found again."""
    refined = [
        "pose=refined", "pose.table.start_step=3", "pose.table.warmup_steps=1", "pose.table.lr=0.01",
        "pose.table.refresh_every=5", "pose.table.drift=0.004", "callbacks=carved",
    ]  # fmt: skip
    train.main(composed("train", *options(toy_folder, tmp_path / "whole", *refined, *struck(-1))))
    config = options(toy_folder, tmp_path / "stopped", *refined, *struck(26))
    with pytest.raises(ZeroDivisionError):
        train.main(composed("train", *config))
    train.main(composed("train", *config))
    poses = checkpoint.load(tmp_path / "whole" / run_folder.CHECKPOINT)["state_dict"]
    assert poses["avatar.poses.at_index"].any() and poses["avatar.poses.rotation"].abs().max() > 0.01
    assert_same_result(tmp_path / "stopped", tmp_path / "whole")


def started(arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"} | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    }
    return subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(
    signum, status, uninterrupted, toy_folder, tmp_path, interruptible, monkeypatch, capsys
):
    folder = tmp_path / "run"
    done = started(options(toy_folder, folder, *struck(EPOCH + 3, signum)), tmp_path)
    assert done.returncode == status, done.stderr
    said = f"Stopped by {signum.name}: training is saved after step 15; go on with `python train.py resume={folder}`."
    assert done.stderr.splitlines() == [said]
    assert Manifest.existing(folder).step == EPOCH + 3
    shutil.move(folder, tmp_path / "moved")  # `resume=` knows the config, wherever the run lies
    train.main(composed("train", f"resume={tmp_path / 'moved'}"))
    assert "going on after step 15" in capsys.readouterr().out
    assert_same_result(tmp_path / "moved", uninterrupted)


def test_a_second_signal_ends_at_once(toy_folder, tmp_path):
    done = started(options(toy_folder, tmp_path / "run", *struck(9, signal.SIGTERM, times=2)), tmp_path)
    assert done.returncode == 143 and done.stderr == ""
    manifest = Manifest.existing(tmp_path / "run")
    assert manifest.step in (4, 8)  # what was written before stays; a thread was perhaps still writing step 8
    assert manifest.holds(tmp_path / "run", STEP_FILE.format(manifest.step))


def test_only_the_evaluation_is_left(uninterrupted, toy_folder, tmp_path, capsys):
    """Also if a file of it was damaged since."""
    folder = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    picture = next((folder / "evaluation").rglob("*.png"))
    picture.write_bytes(b"damaged")
    config = composed("train", *options(toy_folder, folder, *struck(-1)))
    written = (folder / run_folder.CHECKPOINT).stat().st_mtime_ns
    train.main(config)
    said = capsys.readouterr().out
    assert f"training has ended already, after step {STEPS}" in said and "going on" not in said
    assert (folder / run_folder.CHECKPOINT).stat().st_mtime_ns == written
    assert comparable(folder) == comparable(uninterrupted)
    train.main(config)
    assert f"{folder} is finished, and nothing of it has changed" in capsys.readouterr().out


def test_a_run_that_was_stopped_in_its_evaluation_keeps_its_log(uninterrupted, toy_folder, tmp_path, monkeypatch):
    """The loggers got the evaluation, and the manifest did not yet say so: nothing is lost, nothing is there twice."""
    folder = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    next((folder / "evaluation").rglob("*.png")).unlink()  # so that it is evaluated again
    written = leftovers.temporary_prefix(Path("half.png")).replace(str(os.getpid()), str(2**22 + 1))
    (folder / f"evaluation/{written}x.png").touch()  # of a process that was killed
    (folder / "checkpoints/step_00000028.ckpt").touch()  # it had ended training, and not yet deleted this
    config = composed("train", *options(toy_folder, folder, *struck(-1)))

    def struck_after(self: Manifest, *_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Manifest, "add_below", struck_after)
        train.main(config)
    assert not Manifest.existing(folder).evaluated
    train.main(config)
    assert comparable(folder) == comparable(uninterrupted)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    assert not [name for name in Manifest.existing(folder).files if Path(name).name.startswith(".")]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_last_step(signum, uninterrupted, toy_folder, tmp_path, interruptible):
    """Training ends with all that belongs to it, and only the evaluation is left."""
    folder = tmp_path / "run"
    config = composed("train", *options(toy_folder, folder, *struck(STEPS, signum)))
    folder.mkdir()
    (folder / "diverged.pt").touch()  # of an attempt that broke down
    with pytest.raises(interruption.Interrupted), interruption.watched():
        train.main(config)
    manifest = Manifest.existing(folder)
    assert manifest.trained and not manifest.evaluated
    assert files.load_json(folder / "timing.json")["steps"] == STEPS
    assert not (folder / "diverged.pt").exists() and not (folder / "evaluation").exists()
    train.main(config)
    assert_same_result(folder, uninterrupted)


def test_another_config_is_refused_or_replaces_everything(uninterrupted, toy_folder, tmp_path, capsys):
    folder = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    other = options(toy_folder, folder, *struck(-1), "seed=3")
    with pytest.raises(UserError, match=r"holds a run of another config \(seed=0 there, 3 here\).*resume=false\.$"):
        train.main(composed("train", *other))
    assert_same_result(folder, uninterrupted)
    stopped = options(toy_folder, folder, *struck(6), "seed=3", "resume=false")
    with pytest.raises(ZeroDivisionError):  # in its middle: nothing of the former run may be left
        train.main(composed("train", *stopped))
    assert not (folder / run_folder.CHECKPOINT).exists() and not (folder / "evaluation").exists()
    assert resume.chosen(composed("train", f"resume={folder}")).resume is None  # which would replace it again
    with pytest.raises(UserError, match="its training has not ended, and nothing on this machine works on it"):
        run.load(folder)


def test_a_subject_that_has_changed_is_refused(toy_folder, tmp_path, capsys):
    """While the run is unfinished, and afterwards; a finished one may outlive its subject."""
    subject, folder = Path(shutil.copytree(toy_folder, tmp_path / "toy")), tmp_path / "run"
    config = [*options(subject, folder, *struck(5)), "eval.splits=[]", "trainer.max_steps=8", "data.val_views=0"]
    with pytest.raises(ZeroDivisionError):
        train.main(composed("train", *config))
    sentence = rf"{subject} has changed since {folder} was begun with it .*: choose another run_dir="
    changed = [next((subject / "mask").rglob("*.png")), subject / "smpl_params/2.npy"]
    for path, other in zip(changed, (subject / "mask/01/000005.png", subject / "smpl_params/3.npy")):
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        with pytest.raises(UserError, match=sentence):
            train.main(composed("train", *config))
        path.write_bytes(content)
        train.main(composed("train", *config))  # unfinished the first time, finished the second time
    assert "is finished" in capsys.readouterr().out
    program.main(composed("eval", f"run={folder}", "device=cpu"))
    assert "is not as it was" not in capsys.readouterr().out
    path.write_bytes(other.read_bytes())
    program.main(composed("eval", f"run={folder}", "device=cpu"))
    assert f"{subject} is not as it was when {folder} learned from it" in capsys.readouterr().out
    shutil.rmtree(subject)
    train.main(composed("train", *config))
    assert "is finished" in capsys.readouterr().out


def test_a_run_with_classes_of_others_is_continued_if_they_are_admitted(uninterrupted, tmp_path, monkeypatch):
    monkeypatch.undo()  # what these tests admit
    with pytest.raises(UserError, match=r"names tests\.strike\.Strike .* add admit=\[NAME\]"):
        resume.chosen(composed("train", f"resume={uninterrupted}"))
    words = [f"resume={uninterrupted}", "admit=[tests.strike.Strike]"]
    monkeypatch.setattr(run_folder, "typed_overrides", lambda: words)
    config = resume.chosen(composed("train", *words))
    assert run_folder.digest(run_folder.content_of(config)) == Manifest.existing(uninterrupted).config
    words.append("seed=3")
    with pytest.raises(UserError, match="leave out seed=3"):
        resume.chosen(composed("train", *words))


def test_old_weights_beside_a_new_config_are_refused(uninterrupted, tmp_path):
    """Whoever copies or edits files by hand: the manifest belongs to one config and one set of weights."""
    folder = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    content = files.load_json(folder / run_folder.CONFIG)
    files.save_json(folder / run_folder.CONFIG, content | {"seed": 3})
    with pytest.raises(UserError, match=r"config\.json has changed since the run was trained with it"):
        run.load(folder)
    files.save_json(folder / run_folder.CONFIG, content)
    run.load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json is missing: train it again"):
        run.load(folder)


def test_every_flipped_bit_of_the_weights_is_refused(uninterrupted, tmp_path):
    folder = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    path = folder / run_folder.CHECKPOINT
    whole, expected = path.read_bytes(), Manifest.existing(folder).files[run_folder.CHECKPOINT]
    generator = torch.Generator().manual_seed(0)
    for place, bit in zip(torch.randint(len(whole), (100,), generator=generator).tolist(), list(range(8)) * 13):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"last\.ckpt has changed since it was written"):
            checkpoint.load(path, expected=expected)
    with pytest.raises(UserError, match=r"last\.ckpt has changed since it was written"):
        run.load(folder)


def test_a_damaged_checkpoint_is_left_for_the_one_before(uninterrupted, toy_folder, tmp_path, capsys):
    config = options(toy_folder, tmp_path / "run", *struck(22))
    with pytest.raises(ZeroDivisionError):
        train.main(composed("train", *config))
    newest = tmp_path / "run" / STEP_FILE.format(20)
    newest.write_bytes(newest.read_bytes()[:-1])
    train.main(composed("train", *config))
    said = capsys.readouterr().out
    assert "step_00000020.ckpt has changed since it was written" in said and "going on after step 16" in said
    assert_same_result(tmp_path / "run", uninterrupted)


def test_resume_true_finds_the_unfinished_run(toy_folder, tmp_path, capsys):
    """As a job script says on a cluster that pre-empts: the first time there is nothing to go on with."""
    command = [*options(toy_folder, tmp_path / "first", *struck(10)), "resume=true", "eval.splits=[]"]
    command[command.index(f"run_dir={tmp_path / 'first'}")] = "run_dir={}"
    command[command.index("+callbacks.strike.marker=${run_dir}/struck")] = f"+callbacks.strike.marker={tmp_path}/struck"
    with pytest.raises(ZeroDivisionError):
        train.main(composed("train", *(word.format(tmp_path / "first") for word in command)))
    train.main(composed("train", *(word.format(tmp_path / "second") for word in command)))
    assert f"going on after step 8 in {tmp_path / 'first'}" in capsys.readouterr().out
    assert not (tmp_path / "second").exists() and Manifest.existing(tmp_path / "first").evaluated


def test_a_second_training_into_the_same_folder_is_refused(toy_folder, tmp_path):
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()

    def hold() -> None:
        with lock.alone(tmp_path / "run", inside=True):
            held.set()
            done.wait(PATIENCE)

    process = context.Process(target=hold)
    process.start()
    assert held.wait(PATIENCE)
    try:
        with pytest.raises(
            UserError, match=rf"run is in use by process {process.pid} \(.*\): wait until that has ended"
        ):
            train.main(composed("train", *options(toy_folder, tmp_path / "run", *struck(-1))))
        with pytest.raises(UserError, match=rf"is not a finished run: process {process.pid} \(.*works on it.*step 7"):
            run_folder.check_trained(tmp_path / "run", dataclasses.replace(Manifest.new(""), step=7))
    finally:
        done.set()
        process.join()
    assert not (tmp_path / "run/config.json").exists()


def test_resume_with_other_options_is_refused(toy_folder, tmp_path):
    done = started([f"resume={tmp_path}", "seed=3"], tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"resume={tmp_path} goes on with the run as it was configured: leave out seed=3.\n"


def test_a_folder_without_a_run_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"holds no run, since .*config\.json is missing: name a folder below outputs/"):
        train.main(composed("train", f"resume={tmp_path}"))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_another_command_ends_with_the_signal(signum, tmp_path, interruptible):
    """`python -m preprocess`, which waits for another process that prepares the same subject."""
    (tmp_path / "data/videos").mkdir(parents=True)
    (tmp_path / "data/videos/foo.mp4").touch()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with lock.alone(tmp_path / "data/subjects/foo"):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "preprocess", "video=foo"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        assert (
            line.startswith(f"waiting for process {os.getpid()} (")
            and "data/subjects/foo: this command goes on" in line
        )
        process.send_signal(signum)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signum
    assert said == f"Stopped by {signum.name}: the same command goes on with what is not finished.\n"


def test_metrics_are_valid_json(tmp_path):
    files.save_json(tmp_path / "x.json", {"psnr": [float("inf"), float("nan"), 1.5], "n": (1, 2)})
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail) == {
        "psnr": [None, None, 1.5], "n": [1, 2],
    }  # fmt: skip


def test_a_run_whose_subject_cannot_be_prepared_leaves_nothing(tmp_path):
    with pytest.raises(HydraException, match=r"nothing\.mp4"):
        train.main(composed("train", "data=monocular", f"video={tmp_path}/nothing.mp4", f"run_dir={tmp_path}/run"))
    assert not list((tmp_path / "run").rglob("*"))
