"""A signal during evaluation, export and animation: one sentence, its status, no half-written file, and it goes on."""

import importlib
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import train
from hashhuman.cli import animate_run, export_run, hydra_main
from hashhuman.training.manifest import Manifest
from tests.test_train import composed
from tests.tiny import SMALL, TOY

SIGNALS = pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
eval_script = importlib.import_module("eval")


def options(root: Path, folder: Path) -> list[str]:
    return [
        "data=zju_mocap", *SMALL, *TOY, f"data.root={root}", f"run_dir={folder}", "trainer.max_steps=10",
        "data.train_frames=4", "data.holdout_every=3", "data.batches_per_epoch=10", "data.val_views=0", "eval.most=1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Shared: do not write into it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train.main(composed("train", *options(toy_folder, folder)))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruptible: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # which commands set; restored afterwards
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


def command(main: Callable[[DictConfig], None], config_path: str, name: str, *words: str) -> int:
    """The exit status of a program, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *words])
        try:
            hydra_main.run(main, config_path, name)
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            return ended.code
    return 0


def export(config: DictConfig) -> None:
    """`python -m hashhuman.export`, as a function of this file: the types of those of the package are checked."""
    export_run.export(config)


def animate(config: DictConfig) -> None:
    """`python -m hashhuman.animate`, likewise."""
    animate_run.animate(config)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but for what states times: of reports, what is embedded in them."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    read = {name: path.read_bytes() for name, path in found.items() if path.name != "metrics.json"}
    embedded = {name: b"".join(re.findall(rb'"data:[^"]+"', read[name])) for name in read if name.endswith(".html")}
    return read | embedded


def strike(kind: str, signum: int) -> str:
    """What sends a signal once, as an option."""
    return f"{{_target_: tests.strike.{kind}, marker: struck, signum: {int(signum)}}}"


@SIGNALS
def test_eval(signum, status, folder, capsys):
    words = [f"run={folder}", "device=cpu", f"+eval.products.strike={strike('StrikeProduct', signum)}"]
    assert command(eval_script.main, "conf", "eval", *words) == status
    assert capsys.readouterr().err == f"Stopped by {signum.name}: the same command evaluates it anew.\n"
    left = Manifest.existing(folder)
    assert left.evaluated and not left.below("evaluation/strict") and not list(folder.rglob(".*"))
    first = {name: data for name, data in contents(folder / "evaluation").items() if not name.startswith("strict/")}
    assert command(eval_script.main, "conf", "eval", *words) == 0
    assert "evaluation/strict/metrics.json" in Manifest.existing(folder).files
    assert contents(folder / "evaluation/strict") == first and first


@SIGNALS
def test_the_evaluation_after_training(signum, status, trained, toy_folder, tmp_path, capsys):
    folder = tmp_path / "run"
    words = [*options(toy_folder, folder), f"+eval.products.strike={strike('StrikeProduct', signum)}"]
    train.register_resolvers()
    assert command(train.main, "conf", "train", *words) == status
    assert capsys.readouterr().err == f"Stopped by {signum.name}: go on with `python train.py resume={folder}`.\n"
    left = Manifest.existing(folder)
    assert left.trained and not left.evaluated and not left.below("evaluation") and not list(folder.rglob(".*"))
    assert command(train.main, "conf", "train", *words) == 0
    assert "only the evaluation is left" in capsys.readouterr().out
    assert contents(folder / "evaluation") == contents(trained / "evaluation")
    assert Manifest.existing(folder).evaluated


@SIGNALS
def test_export(signum, status, folder, capsys):
    more = f"+export.formats.strike={strike('StrikeFormat', signum)}"
    words = [f"run={folder}", "device=cpu", "format=[npz,strike,bvh]", more]
    assert command(export, "../conf", "export", *words) == status
    assert capsys.readouterr().err == f"Stopped by {signum.name}: the same command exports it anew.\n"
    assert not Manifest.existing(folder).below("export") and not list(folder.rglob(".*"))
    assert sorted(path.name for path in (folder / "export").iterdir()) == ["motion.npz"]
    assert command(export, "../conf", "export", *words) == 0
    names = ["export/motion.bvh", "export/motion.npz", "export/struck.txt"]
    assert sorted(Manifest.existing(folder).below("export")) == names
    (folder / names[0]).unlink()  # a run from which a file was taken away is as finished as before
    train.main(composed("train", f"resume={folder}"))
    assert "is finished, and nothing of it has changed" in capsys.readouterr().out


@SIGNALS
def test_animate(signum, status, folder, capsys):
    more = f"+animate.exporter.formats.strike={strike('StrikeFormat', signum)}"
    words = [f"run={folder}", f"motion={folder}", "device=cpu", "animate.video=null", "format=[npz,strike]", more]
    assert command(animate, "../conf", "animate", *words) == status
    assert capsys.readouterr().err == f"Stopped by {signum.name}: the same command animates it anew.\n"
    assert not list(folder.rglob(".*"))
    assert command(animate, "../conf", "animate", *words) == 0
    assert sorted(path.name for path in (folder / "animate/run").iterdir()) == ["motion.npz", "struck.txt"]
