"""eval.py and the options of its groups."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from hashhuman.cli.hydra_main import explain
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.metrics.protocols import LegacyNVR, PeopleSnapshot, Strict
from hashhuman.training import run_folder
from hashhuman.training.callbacks import TrainingClock

ROOT = Path(__file__).parents[1]
eval_script = importlib.import_module("eval")


def composed(name: str, *overrides: str) -> DictConfig:
    """A config as the command line would make it."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.mark.parametrize(
    ("metrics", "kind"), [("strict", Strict), ("legacy_nvr", LegacyNVR), ("people_snapshot", PeopleSnapshot)]
)
def test_every_protocol_is_made(metrics, kind):
    config = composed("eval", "run=x", f"metrics={metrics}", "metrics.lpips=null")
    evaluator = instantiate(config.eval)
    assert isinstance(evaluator, Evaluator) and isinstance(evaluator.protocol, kind)
    assert evaluator.protocol.name == metrics  # the folder of its evaluations
    names = ["table", "comparisons", "images", "canonical", "turntable", "composite", "export", "report"]
    assert list(evaluator.products) == names and not evaluator.products["composite"].wanted
    assert evaluator.products["turntable"].views == 90 and evaluator.products["canonical"].views == 8
    assert (evaluator.products["comparisons"].pictures, evaluator.products["images"].pictures) == (6, 0)


def test_a_missing_av_is_one_sentence(monkeypatch):
    """It is reported before training, and the turntable can be left out."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InstantiationException) as raised:
        instantiate(composed("eval", "run=x", "metrics.lpips=null").eval)
    assert "pip install av" in (explain(raised.value) or "")
    evaluator = instantiate(composed("eval", "run=x", "metrics.lpips=null", "eval.products.turntable=null").eval)
    assert "turntable" not in evaluator.products


def test_another_product_is_one_line_of_config():
    added = "+eval.products.more={_target_: hashhuman.evaluation.images.Images, pictures: 3}"
    evaluator = instantiate(composed("eval", "run=x", "metrics.lpips=null", added).eval)
    assert list(evaluator.products)[-1] == "more" and evaluator.products["more"].pictures == 3


STRICT = {"_target_": "hashhuman.evaluation.metrics.protocols.Strict"}
LPIPS = {"_target_": "hashhuman.evaluation.metrics.lpips.LPIPS"}


@pytest.mark.parametrize(
    ("typed", "kind", "net"),
    [
        ([], "Strict", "alex"),
        (["eval.most=1"], "Strict", "alex"),
        (["metrics=strict"], "Strict", "alex"),
        (["metrics.lpips.net=vgg"], "Strict", "vgg"),
        (["metrics=strict", "metrics.lpips.net=vgg"], "Strict", "vgg"),
        (["metrics.lpips=null"], "Strict", None),
        (["metrics=legacy_nvr"], "LegacyNVR", "vgg"),
        (["metrics=legacy_nvr", "metrics.lpips.net=alex"], "LegacyNVR", "alex"),
    ],
)
def test_the_metrics_are_those_of_the_run_unless_others_are_typed(typed, kind, net):
    """The preset of this run chose LPIPS's smaller network."""
    trained = OmegaConf.create(STRICT | {"lpips": LPIPS | {"net": "alex"}})
    chosen = eval_script.chosen_metrics(composed("eval", "run=x", *typed).metrics, trained, typed)
    assert chosen._target_.endswith(kind) and OmegaConf.select(chosen, "lpips.net") == net
    assert trained.lpips.net == "alex"  # is left alone


def test_a_network_that_the_run_did_not_have():
    trained = OmegaConf.create(STRICT | {"lpips": None})
    typed = ["metrics.lpips.net=alex"]
    chosen = eval_script.chosen_metrics(composed("eval", "run=x", *typed).metrics, trained, typed)
    assert chosen.lpips == LPIPS | {"net": "alex"}
    assert eval_script.chosen_metrics(composed("eval", "run=x").metrics, trained, []).lpips is None


def test_a_moved_subject_is_a_change_to_the_run():
    assert run_folder.typed_changes(composed("eval", "run=x")) == {}
    config = composed("eval", "run=x", "data.root=here", "data.smpl_meta=there", "+overrides.data.max_size=9")
    assert run_folder.typed_changes(config) == {"data": {"max_size": 9, "root": "here", "smpl_meta": "there"}}


@pytest.mark.slow
def test_lpips_is_made_with_its_weights():
    without = ("eval.products.turntable=null", "eval.products.canonical=null", "eval.products.images.pictures=all")
    evaluator = instantiate(composed("eval", "run=x", "metrics.lpips.net=alex", *without).eval)
    assert evaluator.protocol.lpips.net == "alex" and {"lpips_alex_full", "lpips_alex_box"} < set(
        evaluator.protocol.columns
    )
    assert set(evaluator.products) == {"table", "comparisons", "images", "composite", "export", "report"}
    assert evaluator.products["images"].pictures == "all"


def test_options_nest_and_typos_raise():
    config = composed("eval", "run=x", "eval.products.turntable.views=12", "+overrides.data.max_size=64")
    assert config.eval.products.turntable.views == 12 and config.overrides.data.max_size == 64
    for typo in ("eval.products.turntabel=null", "metrics=strikt", "eval.products.turntable.view=3", "data.rot=x"):
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


def test_a_missing_run_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "eval.py", "run=outputs/nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("outputs/nothing is not a finished run")
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def chosen(trained: DictConfig, *typed: str) -> DictConfig:
    """The evaluation that eval.py makes of a run, resolved."""
    config = composed("eval", "run=x", *typed)
    config.eval = eval_script.chosen_evaluation(config.eval, trained, ["run=x", *typed])
    OmegaConf.resolve(config)
    return config.eval


def trained(*typed: str) -> DictConfig:
    """The evaluation in the config of a run."""
    config = composed("eval", "run=x", *typed)
    OmegaConf.resolve(config)
    return OmegaConf.create(OmegaConf.to_container(config.eval))  # type: ignore[return-value]


def test_the_evaluation_is_that_of_the_run():
    """A preset for a small machine evaluates few pictures, and makes a small turntable or none; so does eval.py."""
    small = ("eval.products.turntable.views=4", "eval.products.canonical=null", "eval.most=2", "eval.splits=[train]")
    run = trained(*small, "+eval.products.more={_target_: hashhuman.evaluation.images.Images, pictures: 3}")
    assert chosen(run) == run
    assert instantiate(chosen(run, "metrics=legacy_nvr", "metrics.lpips=null")).protocol.name == "legacy_nvr"
    typed = ("eval.products.turntable.views=12", "eval.products.comparisons=null", "eval.most=null")
    again = chosen(run, *typed)
    assert (again.most, again.splits, again.products.comparisons) == (None, ["train"], None)
    assert (again.products.turntable.views, again.products.turntable.height) == (12, 512)
    assert chosen(run, "~eval.products.turntable").products.turntable is None


def test_what_the_run_left_out_is_made_if_it_is_typed():
    run = trained("eval.products.turntable=null", "eval.products.canonical=null")
    again = chosen(run, "eval.products.turntable.views=12")
    assert (again.products.turntable.views, again.products.turntable.fps) == (12, 30)
    assert again.products.canonical is None


def test_files_to_take_away_are_one_option():
    evaluator = instantiate(composed("eval", "run=x", "metrics.lpips=null", "eval.export=[bvh,npz]").eval)
    assert evaluator.products["export"].chosen == ["bvh", "npz"]
    with pytest.raises(InstantiationException) as raised:
        instantiate(composed("eval", "run=x", "eval.export=[bvh]", "eval.products.export=null").eval)
    assert "needs eval.products.export" in (explain(raised.value) or "")


def test_formats_are_those_of_the_run_unless_others_are_typed():
    run = trained("eval.export=[glb]")
    assert chosen(run).products.export.format == ["glb"]
    assert chosen(run, "eval.export=[bvh]").products.export.format == ["bvh"]
    assert run.products.export.format == ["glb"]  # is left alone
