"""What the loggers of a run get; for wandb, read back from the files that `wandb sync` uploads."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from hashhuman.errors import UserError
from hashhuman.evaluation.product import Evaluation, Made
from hashhuman.io.files import load_json, read_image, write_image
from hashhuman.io.video import write_video
from hashhuman.training import loggers
from tests import wandb_files
from tests.tiny import SMALL, TOY

ROOT = Path(__file__).parents[3]
STEPS = 4
PICTURES = "evaluation/pictures"


@pytest.fixture(scope="module")
def runs(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of two short runs with logger=wandb in one process, as a sweep runs them."""
    wandb = pytest.importorskip("wandb")
    train.register_resolvers()
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        for seed, folder in enumerate(folders):
            options = (
                "data=zju_mocap", "logger=wandb", f"data.root={toy_folder}", f"run_dir={folder}", f"seed={seed}",
                f"trainer.max_steps={STEPS}", "log_every=2", "trainer.log_every_n_steps=2", "data.train_frames=3",
                "data.holdout_every=3", f"data.batches_per_epoch={STEPS}", "eval.products.turntable.views=2",
                "eval.products.turntable.height=32",
            )  # fmt: skip
            small = [option for option in SMALL if not option.startswith(("log_every", "eval.products.turntable"))]
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                config = compose("train", [*small, *TOY, "eval.products.turntable.fps=5", *options])
            train.main(config)
        wandb.teardown()  # its process writes the last entries when it ends
    return folders


def offline_run(folder: Path) -> Path:
    """The folder of the only wandb run in a run folder."""
    (found,) = (folder / "wandb").glob("offline-run-*")
    return found


def records(folder: Path) -> list[Any]:
    """The records of the only wandb run in a run folder."""
    (file,) = offline_run(folder).glob("*.wandb")
    return wandb_files.records(file)


def logged(history: list[dict[str, Any]], key: str) -> list[tuple[int, Any]]:
    """What was logged under a key: step and value."""
    return [(row["trainer/global_step"], row[key]) for row in history if key in row]


def test_wandb_gets_the_config(runs: list[Path]):
    for seed, folder in enumerate(runs):
        config = wandb_files.config(records(folder))
        assert config.pop("_wandb") is not None
        assert config == load_json(folder / "config.json")
        assert config["seed"] == seed and config["encoder"]["log2_hashmap_size"] == 9


def test_wandb_gets_the_metrics(runs: list[Path]):
    for folder in runs:
        found = records(folder)
        history = wandb_files.history(found)
        losses = logged(history, "train/loss")
        assert [step for step, _ in losses] == [1, 3] and all(np.isfinite(loss) for _, loss in losses)
        assert len(logged(history, "train/color")) == 2 and len(logged(history, "val/psnr")) == 1
        report = load_json(folder / "evaluation/metrics.json")
        for split, result in report["splits"].items():
            for column, mean in result["mean"].items():
                assert logged(history, f"{split}/{column}") == [(STEPS, pytest.approx(mean))]
        assert found[-1].WhichOneof("record_type") == "exit" and found[-1].exit.exit_code == 0


def test_wandb_gets_the_metrics_of_every_picture(runs: list[Path]):
    ((step, path),) = logged(wandb_files.history(records(runs[0])), "evaluation/pictures.path")
    table = json.loads((offline_run(runs[0]) / "files" / path).read_text())
    rows = [dict(zip(table["columns"], row)) for row in table["data"]]
    splits = load_json(runs[0] / "evaluation/metrics.json")["splits"]
    assert step == STEPS
    assert rows == [{"split": split} | row for split in splits for row in splits[split]["each"]] and len(rows) > 3


def test_wandb_gets_pictures_and_the_video(runs: list[Path]):
    history, files = wandb_files.history(records(runs[0])), offline_run(runs[0]) / "files"
    ((step, (name,)),) = logged(history, "val/pictures.filenames")
    assert step == STEPS and read_image(files / name).std() > 5
    comparisons = sorted((runs[0] / "evaluation/comparisons").rglob("*.png"))
    assert len(comparisons) == 3
    for path in comparisons:
        ((step, (name,)),) = logged(history, f"{path.parent.name}/{path.stem}.filenames")
        assert step == STEPS
        np.testing.assert_array_equal(read_image(files / name), read_image(path))
    ((step, (video,)),) = logged(history, "turntable.videos")
    assert step == STEPS and video["_type"] == "video-file"
    assert (files / video["path"]).read_bytes() == (runs[0] / "evaluation/turntable.mp4").read_bytes()


def test_wandb_gets_the_report(runs: list[Path]):
    """As an artifact, of which wandb keeps a copy until it is uploaded."""
    kept = [each.artifact for each in records(runs[0]) if each.WhichOneof("record_type") == "artifact"]
    (artifact,) = [artifact for artifact in kept if artifact.type == "report"]  # a table is one, too
    assert artifact.name.startswith("report-")
    (entry,) = artifact.manifest.contents
    assert entry.path == "report.html"
    assert Path(entry.local_path).read_bytes() == (runs[0] / "evaluation/report.html").read_bytes()


def test_wandb_gets_the_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    mesh = tmp_path / "avatar.glb"
    mesh.write_bytes(b"glTF of the avatar")
    logger = loggers.wandb_logger("hashhuman", None, str(tmp_path / "run"), offline=True)
    evaluation = Evaluation(None, None, tmp_path, {"splits": {}}, {"export": Made(meshes={"avatar": mesh})})
    with loggers.ended([logger]):
        loggers.log_evaluation([logger], evaluation, step=7)
    wandb.teardown()
    (row,) = [row for row in wandb_files.history(records(tmp_path / "run")) if "avatar._type" in row]
    assert (row["avatar._type"], row["trainer/global_step"]) == ("object3D-file", 7)
    assert (offline_run(tmp_path / "run") / "files" / row["avatar.path"]).read_bytes() == mesh.read_bytes()


def test_wandb_would_sync_each_run(runs: list[Path]):
    """By wandb's own command."""
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", *map(str, map(offline_run, runs))]
    environment = os.environ | {"WANDB_API_KEY": "0" * 40}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "Would sync 2 run(s)" in done.stderr
    for folder in runs:
        assert offline_run(folder).name in done.stderr


def test_a_failed_run_is_failed_in_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = loggers.wandb_logger("hashhuman", None, str(tmp_path / "run"), offline=True)
    with pytest.raises(RuntimeError, match="broken"), loggers.ended([logger]):
        logger.log_metrics({"train/loss": 1.0}, 0)
        raise RuntimeError("broken")
    assert wandb.run is None
    wandb.teardown()
    (end,) = [record.exit for record in records(tmp_path / "run") if record.WhichOneof("record_type") == "exit"]
    assert end.exit_code == 1


def test_a_run_that_is_continued_stays_one_run_in_wandb(tmp_path: Path):
    pytest.importorskip("wandb")

    def name(folder: str, **settings: str) -> str:
        return loggers.wandb_logger("hashhuman", None, str(tmp_path / folder), offline=True, **settings)._id  # type: ignore[return-value]

    first = name("run")
    assert name("run") == first != name("another") and name("run", id="mine") == "mine"
    (tmp_path / "run/wandb/run_id").write_text("../../x")  # of a folder from anybody
    assert name("run") not in (first, "../../x") and name("run") == name("run")


def test_missing_wandb_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        loggers.wandb_logger("hashhuman", None, ".", offline=True)


def test_an_evaluation_goes_to_the_loggers(tmp_path):
    folder = tmp_path / "evaluation/strict"
    images = {
        "novel_view/01_000000": folder / "comparisons/novel_view/01_000000.png", "canonical": folder / "canonical.png",
    }  # fmt: skip
    for path, grey in zip(images.values(), (0, 9)):
        write_image(path, np.full((4, 4, 3), grey, np.uint8))
    write_image(folder / "comparisons/heldout/00_000007.png", np.zeros((4, 4, 3), np.uint8))  # of an earlier one
    made = {"pictures": Made(images=images), "turntable": Made(videos={"turntable": folder / "turntable.mp4"})}
    logger = CSVLogger(tmp_path, "logs", "")
    each = [{"picture": "01/000000", "psnr_full": 31.5}]
    report = {
        "splits": {"novel_view": {"mean": {"psnr_full": 31.5}, "each": each}, "heldout": {"mean": {}, "each": []}}
    }
    loggers.log_evaluation([logger], Evaluation(None, None, folder, report, made), step=7)
    assert (tmp_path / "logs/metrics.csv").read_text().split() == ["novel_view/psnr_full,step", "31.5,7"]
    assert (tmp_path / "logs/evaluation/pictures.csv").read_text().split() == [
        "split,picture,psnr_full", "novel_view,01/000000,31.5"
    ]  # fmt: skip
    assert (tmp_path / "logs/novel_view/01_000000/000007.png").exists()
    assert read_image(tmp_path / "logs/canonical/000007.png")[0, 0, 0] == 9
    assert len(list((tmp_path / "logs").rglob("*.png"))) == 2


def test_tensorboard_shows_as_much_as_it_can(tmp_path: Path):
    video = tmp_path / "turntable.mp4"
    frames = [np.full((512, 128, 3), 80 * i, np.uint8) for i in range(3)]
    write_video(video, frames, fps=10)
    each = [{"picture": "01/000000", "psnr_full": 31.5}]
    report = {"splits": {"novel_view": {"mean": {"psnr_full": 31.5}, "each": each}}}
    logger = TensorBoardLogger(tmp_path, "tensorboard", "")
    loggers.log_config([logger], {"seed": 3})
    made = {"turntable": Made(videos={"turntable": video})}
    loggers.log_evaluation([logger], Evaluation(None, None, tmp_path, report, made), step=7)
    logger.finalize("success")
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    (image,) = events.Images("turntable")
    played = iio.imread(image.encoded_image_string, extension=".gif", index=None)
    assert image.step == 7 and (image.height, image.width) == (256, 64) == played.shape[1:3]
    assert [int(frame.mean()) for frame in played] == pytest.approx([0, 80, 160], abs=6)
    texts = {tag: events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0] for tag in ("config", PICTURES)}
    assert b'"seed": 3' in texts["config"]
    assert texts[PICTURES].splitlines()[2] == b"| novel_view | 01/000000 | 31.5 |"
