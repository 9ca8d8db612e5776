"""Evaluates a finished run: writes metrics, pictures and videos to <run folder>/evaluation/<protocol>.

python eval.py run=<run folder> [metrics=legacy_nvr] [eval.products.images.pictures=all]

Metrics, pictures and products are those of the run unless the command line says otherwise: also what it left out.
Options: conf/eval.yaml and the groups in its defaults.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main


def main(config: DictConfig) -> None:
    """Loads the run and evaluates it."""
    from hydra.utils import instantiate  # only after Hydra has checked the command line: these imports take seconds

    from hashhuman.checks import targets
    from hashhuman.checks.ranges import check_ranges
    from hashhuman.checks.types import check_types
    from hashhuman.gpu.device import device_named
    from hashhuman.io import interruption, lock
    from hashhuman.training import resume, run, run_folder

    folder, changes = Path(config.run), run_folder.typed_changes(config)
    admitted = targets.admitted(config.admit)
    trained = run_folder.load_config(folder, changes, admitted)
    run_folder.check_links(folder)
    typed = run_folder.typed_overrides() or []
    with run.described_by(folder / run_folder.CONFIG):
        config.metrics = chosen_metrics(config.metrics, trained.metrics, typed)
        config.eval = chosen_evaluation(config.eval, trained.eval, typed)
        check_ranges(config)
        check_types(config.eval, "eval")
        evaluator = instantiate(config.eval)
    print(f"evaluating {folder}, trained on {trained.data.root}, with metrics={evaluator.protocol.name}", flush=True)
    with lock.alone(folder, inside=True), interruption.advising("the same command evaluates it anew"):
        module, datamodule, _ = run.load(folder, changes, admitted)
        resume.tell_of_changed_subject(folder, datamodule.subject)
        avatar = module.avatar.to(device_named(config.device, "device"))
        run.evaluate_again(evaluator, avatar, datamodule, folder)


def chosen_metrics(composed: DictConfig, trained: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The metrics to evaluate with.

    Args:
        composed: the group `metrics` as composed from the command line and the defaults.
        trained: the metrics of the run.
        typed: the overrides on the command line.

    Returns:
        The metrics of the run with the options that were typed; `composed` if another protocol was typed.
    """
    keys = [word.partition("=")[0].lstrip("+~") for word in typed]
    if "metrics" in keys and composed._target_ != trained._target_:
        return composed
    chosen = trained.copy()
    for key in keys:
        option = key.removeprefix("metrics.")
        if option != key:
            parent = option.partition(".")[0]
            option = parent if chosen.get(parent) is None else option  # for an object that the run does not have
            OmegaConf.update(chosen, option, OmegaConf.select(composed, option), force_add=True)
    return chosen


def chosen_evaluation(composed: DictConfig, trained: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The evaluation to make: pictures, sizes and products as in the run, which its preset chose to suit its machine.

    Args:
        composed: the group `eval` as composed from the command line and the defaults.
        trained: that of the run.
        typed: the overrides on the command line.

    Returns:
        The evaluation of the run, with the options that were typed. What it left out (null) is made with the defaults
        if one of its options is typed. Products that the run does not know are made, too. Options that refer to others,
        as `protocol` does, still do.
    """
    chosen = trained.copy()
    _keep_references(chosen, composed)
    chosen.products.update({name: made for name, made in composed.products.items() if name not in chosen.products})
    for key in (word.partition("=")[0].lstrip("+~") for word in typed):
        option = key.removeprefix("eval.")
        if option != key:
            while "." in option and OmegaConf.select(chosen, option.rpartition(".")[0]) is None:
                option = option.rpartition(".")[0]
            OmegaConf.update(chosen, option, OmegaConf.select(composed, option), force_add=True)
    return chosen


def _keep_references(chosen: DictConfig, composed: DictConfig) -> None:
    """Makes those options refer to others that do so in the composed config."""
    written: Any = OmegaConf.to_container(composed, resolve=False)
    for key in map(str, composed):
        if key in chosen and OmegaConf.is_interpolation(composed, key):
            chosen[key] = written[key]
        elif isinstance(chosen.get(key), DictConfig) and isinstance(composed[key], DictConfig):
            _keep_references(chosen[key], composed[key])


if __name__ == "__main__":
    hydra_main.run(main, config_path="conf", config_name="eval", path_option="run")
