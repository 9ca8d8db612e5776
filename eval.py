"""Measures a finished run and shows its avatar from all sides, in <run folder>/evaluation.

python eval.py run=<run folder> [metrics=legacy_nvr] [eval.save_images=true]

Options: conf/eval.yaml and the groups that it names.
"""

from pathlib import Path

from omegaconf import DictConfig

from hashhuman import cli


def main(config: DictConfig) -> None:
    """Loads the run, evaluates it."""
    import torch  # after Hydra has checked the command line: importing it takes seconds
    from hydra.utils import instantiate

    from hashhuman import run

    module, datamodule, _ = run.load(config.run, config.overrides)
    evaluator = instantiate(config.eval)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    evaluator(module.avatar.to(device), datamodule, Path(config.run) / "evaluation")


if __name__ == "__main__":
    cli.run(main, config_path="conf", config_name="eval")
