"""eval.py and the options of its groups."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.metrics.protocols import LegacyNVR, Strict
from hashhuman.training.callbacks import TrainingClock

ROOT = Path(__file__).parents[1]


def composed(name: str, *overrides: str) -> DictConfig:
    """A config as the command line would make it."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.mark.parametrize(("metrics", "kind"), [("strict", Strict), ("legacy_nvr", LegacyNVR)])
def test_every_protocol_is_made(metrics, kind):
    config = composed("eval", "run=x", f"metrics={metrics}", "metrics.lpips=null")
    evaluator = instantiate(config.eval)
    assert isinstance(evaluator, Evaluator) and isinstance(evaluator.protocol, kind)
    assert evaluator.turntable.views == 90 and evaluator.canonical.views == 8


@pytest.mark.slow
def test_lpips_is_made_with_its_weights():
    config = composed("eval", "run=x", "metrics.lpips.net=alex", "eval.turntable=false", "eval.canonical=false")
    evaluator = instantiate(config.eval)
    assert evaluator.protocol.lpips.net == "alex" and evaluator.turntable is None and evaluator.canonical is None


def test_options_nest_and_typos_raise():
    config = composed("eval", "run=x", "eval.turntable.views=12", "+overrides.data.root=/elsewhere")
    assert config.eval.turntable.views == 12 and config.overrides.data.root == "/elsewhere"
    for typo in ("eval.turntabel=false", "metrics=strikt", "eval.turntable.view=3"):
        with pytest.raises(ConfigCompositionException):
            composed("eval", "run=x", typo)


@pytest.mark.parametrize(
    ("logger", "kind"), [("csv", CSVLogger), ("tensorboard", TensorBoardLogger), ("wandb", WandbLogger)]
)
def test_every_logger_is_made(tmp_path, logger, kind):
    config = OmegaConf.merge({"run_dir": str(tmp_path)}, composed(f"logger/{logger}"))
    (made,) = instantiate(config.logger).values()
    assert isinstance(made, kind) and str(made.save_dir).startswith(str(tmp_path))


def test_callbacks_are_made(tmp_path):
    around = {"run_dir": str(tmp_path), "budget_s": None, "trainer": {"max_steps": 10}}
    config = OmegaConf.merge(around, composed("callbacks/default"))
    made = instantiate(config.callbacks)
    assert set(made) == {"checkpoint", "pictures", "progress", "clock"}
    assert isinstance(made.clock, TrainingClock) and made.clock.path == tmp_path / "timing.json"


def test_no_such_run_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "eval.py", "run=outputs/nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("outputs/nothing is not a finished run")
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())
