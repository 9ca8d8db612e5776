"""Measures a finished run and shows its avatar from all sides, in <run folder>/evaluation.

python eval.py run=<run folder> [metrics=legacy_nvr] [eval.save_images=true]

Options: conf/eval.yaml and the groups that it names.
"""

from pathlib import Path

from omegaconf import DictConfig

from hashhuman.cli import hydra_main


def main(config: DictConfig) -> None:
    """Loads the run, evaluates it."""
    from hydra.utils import instantiate  # after Hydra has checked the command line: what follows takes seconds

    from hashhuman.gpu.device import device_named
    from hashhuman.training import run

    module, datamodule, _ = run.load(config.run, config.overrides)
    evaluator = instantiate(config.eval)
    evaluator(module.avatar.to(device_named(config.device, "device")), datamodule, Path(config.run) / "evaluation")


if __name__ == "__main__":
    hydra_main.run(main, config_path="conf", config_name="eval")
