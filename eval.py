"""Evaluates a finished run: writes metrics, pictures and videos to <run folder>/evaluation/<protocol>.

python eval.py run=<run folder> [metrics=legacy_nvr] [eval.products.images.pictures=all]

The metrics, including the LPIPS network, are those of the run unless the command line says otherwise.
Options: conf/eval.yaml and the groups in its defaults.
"""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main


def main(config: DictConfig) -> None:
    """Loads the run and evaluates it."""
    from hydra.utils import instantiate  # only after Hydra has checked the command line: these imports take seconds

    from hashhuman.checks import targets
    from hashhuman.gpu.device import device_named
    from hashhuman.io import interruption, lock
    from hashhuman.training import run, run_folder

    folder, changes = Path(config.run), run_folder.typed_changes(config)
    admitted = targets.admitted(config.admit)
    trained = run_folder.load_config(folder, changes, admitted)
    run_folder.check_links(folder)
    typed = run_folder.typed_overrides() or []
    config.metrics = chosen_metrics(config.metrics, trained.metrics, typed)
    config.eval.products = chosen_products(config.eval.products, trained.eval.products, typed)
    evaluator = instantiate(config.eval)
    print(f"evaluating {folder}, trained on {trained.data.root}, with metrics={evaluator.protocol.name}", flush=True)
    with lock.alone(folder, inside=True), interruption.advising("the same command evaluates it anew"):
        module, datamodule, _ = run.load(folder, changes, admitted)
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


def chosen_products(composed: DictConfig, trained: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The products to make: sizes and numbers as in the run, which its preset chose to suit its machine.

    Args:
        composed: `eval.products` as composed from the command line and the defaults.
        trained: those of the run.
        typed: the overrides on the command line.

    Returns:
        `composed`, in which the products that the run made have the run's options except for those that were typed,
        also as another option that they refer to.
    """
    chosen = composed.copy()
    for name in composed:
        if trained.get(name) is not None and composed[name] is not None:
            referring = [key for key in composed[name] if OmegaConf.is_interpolation(composed[name], key)]
            chosen[name] = OmegaConf.merge(trained[name], {key: composed[name][key] for key in referring})
    for key in (word.partition("=")[0].lstrip("+~") for word in typed):
        option = key.removeprefix("eval.products.")
        if option != key:
            OmegaConf.update(chosen, option, OmegaConf.select(composed, option), force_add=True)
    return chosen


if __name__ == "__main__":
    hydra_main.run(main, config_path="conf", config_name="eval", path_option="run")
