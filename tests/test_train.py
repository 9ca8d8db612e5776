"""train.py and eval.py from end to end, on the toy and on the synthetic scene."""

import csv
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import train
from hashhuman.errors import UserError
from hashhuman.io import checkpoint, files
from hashhuman.training import run, run_folder
from tests.tiny import SMALL, TOY

ROOT = Path(__file__).parents[1]
STEPS = 100
MEASURED = "evaluation"  # by training; eval.py measures into a folder of each protocol beside it
AGAIN = "evaluation/strict"


def composed(name: str, *overrides: str) -> DictConfig:
    """A config as the command line would make it."""
    train.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.fixture(scope="module")
def trained(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training on four of the toy's frames, one of them held out."""
    folder = tmp_path_factory.mktemp("run with spaces, [brackets] and =")
    options = (
        f"data.root={toy_folder}", f"run_dir='{folder}'", f"trainer.max_steps={STEPS}", "data.train_frames=4",
        "data.holdout_every=3", f"data.batches_per_epoch={STEPS // 2}", "eval.products.images.pictures=all",
        "avatar.prune_after=40", "avatar.prune_every=20",
    )  # fmt: skip
    train.main(composed("train", "data=zju_mocap", *SMALL, *TOY, *options))
    return folder


def logged(folder: Path, column: str) -> list[float]:
    with (folder / "logs/metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_training_learns(trained):
    losses = logged(trained, "train/loss")
    assert len(losses) == STEPS // 10 and losses[-1] < 0.4 * losses[0]
    psnr = logged(trained, "val/psnr")
    assert len(psnr) == 2 and psnr[1] > psnr[0]


def test_the_files_of_a_run(trained):
    for name in (run_folder.CONFIG, run_folder.CHECKPOINT, "timing.json", f"{MEASURED}/table.md"):
        assert (trained / name).is_file()
    config = files.load_json(trained / run_folder.CONFIG)
    assert config["trainer"]["max_steps"] == STEPS and config["encoder"]["log2_hashmap_size"] == 9
    assert config["run_dir"] == str(trained)
    avatar = config.pop("avatar")
    assert "${" not in str(config) and avatar["field"] == "${field}"  # only the avatar refers to its parts
    assert files.load_json(trained / "timing.json")["steps"] == STEPS
    assert list((trained / "logs/val/pictures").glob("*.png"))
    assert len(list((trained / MEASURED / "comparisons").rglob("*.png"))) == 3


def test_metrics_are_better_than_those_of_empty_pictures(trained, toy_folder):
    report = files.load_json(trained / MEASURED / "metrics.json")
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {
        "heldout": 1, "novel_view": 4, "novel_pose": 2,
    }  # fmt: skip
    for split in report["splits"].values():
        truths = [files.read_image(toy_folder / "images" / f"{row['picture']}.png") / 255 for row in split["each"]]
        black = np.mean([-10 * np.log10((truth**2).mean()) for truth in truths])
        assert split["mean"]["psnr_full"] > black + 1.5 and split["mean"]["mask_iou"] > 0.4
        assert "lpips" not in split["mean"]


def test_a_loaded_run_renders_what_training_rendered(trained):
    module, data, _ = run.load(trained)
    for picture in (data.splits["heldout"][0], data.splits["novel_pose"][1]):
        view = data.view(picture)
        rendered = module.avatar.render_image(view.camera, view.pose, view.frame)
        before = files.read_image(trained / MEASURED / "images" / f"{view.name}.png") / 255
        np.testing.assert_allclose(rendered.rgb.clamp(0, 1).numpy(), before, atol=0.51 / 255)
        assert before.max() > 0.1


def test_eval_agrees_with_training(trained, tmp_path):
    again = Path(shutil.copytree(trained, tmp_path / "moved"))
    shutil.rmtree(again / "evaluation")
    options = [f"eval.products.{product}=null" for product in ("turntable", "canonical", "comparisons")]
    importlib.import_module("eval").main(composed("eval", f"run={again}", "device=cpu", *options))
    mine = files.load_json(again / AGAIN / "metrics.json")["splits"]
    theirs = files.load_json(trained / MEASURED / "metrics.json")["splits"]
    assert mine.keys() == theirs.keys()
    for name, split in theirs.items():
        for column in split["mean"].keys() - {"render_ms"}:
            assert mine[name]["mean"][column] == pytest.approx(split["mean"][column], rel=1e-4)


@pytest.mark.slow
def test_two_processes_reach_the_quality_of_one(trained, toy_folder, tmp_path):
    """Only rank 0 writes and evaluates."""
    command = [
        "data=zju_mocap", "trainer=ddp", "trainer.devices=2", *SMALL, *TOY, f"data.root={toy_folder}",
        f"run_dir={tmp_path / 'run'}", f"trainer.max_steps={STEPS}", "data.train_frames=4",
        "data.holdout_every=3", f"data.batches_per_epoch={STEPS // 2}", "data.cache_mb=0",
        "eval.products.images.pictures=all",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *command],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"trained {STEPS} steps") == 1 and done.stdout.count("metrics:") == 1
    timing = files.load_json(tmp_path / "run/timing.json")
    assert (timing["processes"], timing["steps"]) == (2, STEPS)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["last.ckpt"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(path.name for path in trained.iterdir())
    assert len(logged(tmp_path / "run", "train/loss")) == STEPS // 10
    mine, theirs = (files.load_json(f / MEASURED / "metrics.json")["splits"] for f in (tmp_path / "run", trained))
    assert mine.keys() == theirs.keys()
    psnr, alone = (splits["novel_view"]["mean"]["psnr_full"] for splits in (mine, theirs))
    assert psnr == pytest.approx(alone, abs=1.5)  # seeds of this small run differ by 0.6


class FakeClock(L.Callback):
    """A clock that every training step advances by a tenth of a second."""

    seconds = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.seconds

    def on_train_batch_start(self, *_: object) -> None:
        """Advances the clock."""
        self.seconds += 0.1


def test_a_time_budget_ends_training(toy_folder, tmp_path, monkeypatch):
    """With the fake clock, one second is ten steps after the first step, from which time counts."""
    clock = FakeClock()
    monkeypatch.setattr("tests.test_train.FakeClock", lambda: clock)
    options = (
        f"data.root={toy_folder}", f"run_dir='{tmp_path}'", "budget_s=1.0", "data.val_views=0", "data.cache_mb=0",
        "data.train_frames=4", "eval.most=1", "eval.splits=[novel_view]",
        "+callbacks.pace._target_=tests.test_train.FakeClock",
        "+callbacks.clock.now._target_=tests.test_train.FakeClock",
    )  # fmt: skip
    train.main(composed("train", "data=zju_mocap", *SMALL, *TOY, *options))
    timing = files.load_json(tmp_path / "timing.json")
    assert timing["steps"] == 11 and timing["train_s"] == pytest.approx(1.0)
    (report,) = files.load_json(tmp_path / MEASURED / "metrics.json")["splits"].values()
    assert report["pictures"] == 1


@pytest.mark.parametrize("experiment", ["fast", "cpu", "best", "instant_nvr"])
def test_presets_train(experiment, toy_folder, tmp_path):
    """With small tables and few rays, and without networks that need weights."""
    options = [
        f"data.root={toy_folder}", f"run_dir='{tmp_path}'", f"experiment={experiment}", "trainer.accelerator=cpu",
        "trainer.max_steps=2", "encoder.log2_hashmap_size=8", "data.ray_sampler.n_rays=64",
        "data.ray_sampler.patch_size=8", "data.val_views=0", "data.cache_mb=0", "metrics.lpips=null",
        "eval.splits=[]", "eval.products.turntable=null", "eval.products.canonical=null", "avatar.prune_every=1",
    ]  # fmt: skip
    config = composed("train", "data=zju_mocap", *options)
    OmegaConf.set_struct(config, False)
    config.loss.pop("patches", None)
    for part in config.field.parts.values():
        part.grid.log2_hashmap_size = 8
    if config.avatar.prune_after is not None:
        config.avatar.prune_after = 1
    before = run.build(config)[0].state_dict()
    train.main(config)
    state = checkpoint.load(tmp_path / run_folder.CHECKPOINT)["state_dict"]
    assert all(tensor.isfinite().all() for name, tensor in state.items() if name != "avatar.occupancy.density")
    assert not torch.equal(state["avatar.field.encoder.table"], before["avatar.field.encoder.table"])
    learned_what_is_empty = state["avatar.occupancy.density"].isfinite().any()
    assert learned_what_is_empty == (experiment != "instant_nvr")  # which does not prune


def test_multirun_of_a_synthetic_scene(tmp_path):
    """A smaller version of the README's command: each value makes one run, with hash tables of its size."""
    command = [
        "-m", "data=synthetic", "source.n_frames=2", "source.n_novel=1", "source.n_cameras=2", "source.size=32",
        *SMALL, "encoder.log2_hashmap_size=5,7", "trainer.max_steps=2", "data.batches_per_epoch=2",
        "neighbors.max_points=300", "neighbors.voxel=0.06", "hydra.sweep.dir=sweep", "eval.most=1",
    ]  # fmt: skip
    command.remove("encoder.log2_hashmap_size=9")
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folders = [tmp_path / f"sweep/encoder.log2_hashmap_size={size}" for size in (5, 7)]
    assert sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == folders
    assert done.stdout.count("runs of the sweep") == 1 and done.stdout.count("preset      experiment=cpu") == 2
    entries = []
    for folder, size in zip(folders, (5, 7)):
        config = files.load_json(folder / run_folder.CONFIG)
        assert config["encoder"]["log2_hashmap_size"] == size and config["format"] == run_folder.FORMAT
        assert f"encoder.log2_hashmap_size={size}" in config["command"]  # as it would be typed for this run alone
        assert (folder / MEASURED / "metrics.json").is_file()
        state = checkpoint.load(folder / run_folder.CHECKPOINT)["state_dict"]
        table = state["avatar.field.encoder.table"]
        assert table.isfinite().all()
        entries.append(len(table))
    assert entries[0] < entries[1]
    assert (tmp_path / "data/subjects/synthetic/annots.npy").is_file()  # made once, below the workspace


def test_a_moved_run_is_evaluated_from_another_folder(toy_copy, tmp_path, monkeypatch, capsys):
    """Trained with relative paths; evaluated from elsewhere, and with its subject moved."""
    options = (
        f"data.root={toy_copy.name}", "run_dir=run", "trainer.max_steps=2", "data.val_views=0", "data.cache_mb=0",
        "data.train_frames=2", "eval.most=1", "eval.splits=[novel_view]",
    )  # fmt: skip
    monkeypatch.chdir(toy_copy.parent)
    train.main(composed("train", "data=zju_mocap", *SMALL, *TOY, *options))
    said = capsys.readouterr().out
    assert "training: 2/2 steps, " in said and "evaluating novel views: 1/1 pictures, " in said
    config = files.load_json(Path("run") / run_folder.CONFIG)
    assert (config["data"]["root"], config["run_dir"]) == (str(toy_copy), str(toy_copy.parent / "run"))
    moved = Path(shutil.move("run", tmp_path / "moved"))
    measured = (moved / MEASURED / "metrics.json").read_bytes()

    monkeypatch.chdir(tmp_path)
    evaluate = importlib.import_module("eval").main
    few = [f"eval.products.{product}=null" for product in ("turntable", "canonical")]
    evaluate(composed("eval", "run=moved", "device=cpu", *few))
    assert f"metrics: moved/{AGAIN}/metrics.json" in capsys.readouterr().out.splitlines()
    report = files.load_json(moved / AGAIN / "metrics.json")
    assert (moved / MEASURED / "metrics.json").read_bytes() == measured  # what training measured stays
    assert report["splits"]["novel_view"]["pictures"] == 1  # as in the run
    assert list(report["columns"]) == list(json.loads(measured)["columns"])  # without LPIPS, as in the run

    elsewhere = Path(shutil.move(toy_copy, tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=rf"moved was trained on {toy_copy}, .*: add data\.root=FOLDER"):
        evaluate(composed("eval", "run=moved", "device=cpu", *few))
    done = subprocess.run(
        [sys.executable, ROOT / "eval.py", "run=moved", f"data.root={elsewhere.name}", "metrics=legacy_nvr",
         "metrics.lpips=null", "eval.most=null", *few],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "evaluating novel views: 2/2 pictures, " in done.stdout
    assert "metrics: moved/evaluation/legacy_nvr/metrics.json" in done.stdout.splitlines()
    assert set(files.load_json(moved / "evaluation/legacy_nvr/metrics.json")["columns"]) == {"psnr", "ssim"}
    assert files.load_json(moved / AGAIN / "metrics.json") == report
