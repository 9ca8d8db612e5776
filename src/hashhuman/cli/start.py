"""Describes a run when it starts: its preset with the reason for it, its folder and its device."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


def describe_start(config: DictConfig) -> str:
    """The lines that train.py prints first. The preset is left out if Hydra did not start the process."""
    lines = [f"run folder  {Path(config.run_dir)}", f"device      {_device(config.trainer.accelerator)}"]
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        given = any(text.startswith("experiment=") for text in hydra.overrides.task)
        lines.insert(0, f"preset      {preset(hydra.runtime.choices.get('experiment'), given)}")
    return "\n".join(lines)


def preset(name: str | None, given: bool) -> str:
    """The preset, with the reason if `default_experiment` chose it (`given` is False)."""
    if given or name is None:
        return f"experiment={'null' if name is None else name}"
    reason = "PyTorch sees a GPU" if name == "fast" else "PyTorch sees no GPU"
    return f"experiment={name} (chosen because {reason})"


def _device(accelerator: str) -> str:
    import torch

    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {len(os.sched_getaffinity(0))} cores"
