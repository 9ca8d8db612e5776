"""Builds everything from a config, trains it, and loads what was trained."""

import contextlib
import logging
import warnings
from pathlib import Path

import lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hashhuman.avatar.protocol import Avatar
from hashhuman.checks.folders import check_writable
from hashhuman.checks.ranges import check_ranges
from hashhuman.checks.requirements import check_requirements
from hashhuman.checks.types import check_types
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.errors import UserError
from hashhuman.gpu import backend
from hashhuman.gpu.precompile import precompiled
from hashhuman.io import checkpoint, lock
from hashhuman.training import ddp, run_folder
from hashhuman.training.lit_module import HumanModule
from hashhuman.training.loggers import log_evaluation


def train(config: DictConfig) -> None:
    """Prepares the subject, trains its avatar, evaluates it; all figures and pictures go below `config.run_dir`.

    With `trainer=ddp` several processes are here at once: all train, and the first alone does the rest.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # about workers, which data on the device does not need
    refuse(config)
    L.seed_everything(config.seed + ddp.rank(), verbose=False)  # each process draws rays of its own
    first = ddp.rank() == 0
    if first and config.source is not None:
        root = Path(config.data.root)
        with lock.alone(root):  # other runs of a sweep may want the same subject
            instantiate(config.source).prepare(root)
    folder = Path(config.run_dir)
    evaluator = instantiate(config.eval) if first else None  # before training: what it lacks should not show after it
    trainer: L.Trainer = instantiate(
        config.trainer,
        max_steps=config.trainer.max_steps if config.budget_s is None else -1,
        logger=list(instantiate(config.logger).values()),
        callbacks=list(instantiate(config.callbacks).values()),
    )
    with ddp.processes(config, trainer.num_devices):
        module, datamodule = build(config)
        if first:
            run_folder.save_config(folder, config)
        module.to(trainer.strategy.root_device)  # before pictures are read, so that kernels are compiled meanwhile
        with compiled_ahead(module.avatar):
            trainer.fit(module, datamodule=datamodule)
    if evaluator is not None:
        module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU
        evaluation = evaluator(module.avatar, datamodule, folder / run_folder.EVALUATION)
        log_evaluation(trainer.loggers, evaluation, trainer.global_step)


def compiled_ahead(avatar: Avatar) -> contextlib.AbstractContextManager[None]:
    """While this context lasts, the kernels of an avatar on a GPU are compiled in the background."""
    if avatar.device.type != "cuda" or not backend.installed():
        return contextlib.nullcontext()
    return precompiled(avatar.warm_up)


def refuse(config: DictConfig) -> None:
    """Raises UserError for what would fail only after the work of minutes.

    What only preprocessing needs is left to it: a finished subject needs none of it.
    """
    check_ranges(config)
    if config.trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(
            f"trainer.accelerator={config.trainer.accelerator} (experiment=fast and best choose it) needs a GPU, and "
            "PyTorch sees none: use experiment=cpu, or add trainer.accelerator=cpu."
        )
    on_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    backend.chosen(config.kernels, torch.device("cuda" if on_gpu else "cpu"))
    used = [key for key in config if key not in ("preprocess", "body") and not OmegaConf.is_missing(config, key)]
    for key in used:
        check_types(config[key], str(key))
    check_requirements({key: config[key] for key in used})
    check_writable(Path(config.run_dir), "hydra.run.dir= or run_dir=")
    if config.source is not None:
        if Path(config.data.root).exists() and not Path(config.data.root).is_dir():
            raise UserError(f"data.root={config.data.root} is a file: name a folder.")
        check_writable(Path(config.data.root).parent, "workspace=")


def build(config: DictConfig) -> tuple[HumanModule, SubjectDataModule]:
    """The module and the data that a config describes; `config.data.root` must be a subject folder."""
    datamodule: SubjectDataModule = instantiate(config.data)
    module = HumanModule(
        instantiate(config.avatar)(template=datamodule.subject.template(), n_frames=len(datamodule.train_frames)),
        dict(instantiate(config.loss)),
        instantiate(config.optimizer.optimizer),
        instantiate(config.optimizer.schedule),
        instantiate(config.step),
        config.log_every,
    )
    return module, datamodule


def load(folder: str | Path, overrides: DictConfig | None = None) -> tuple[HumanModule, SubjectDataModule, DictConfig]:
    """A finished run: module with its trained weights, data and config.

    Args:
        folder: of the run.
        overrides: changes to the run's own config, e.g. of `data.root`, where the subject lies now.

    Raises UserError if the folder is no run that this revision reads, its subject has moved or is another one, or its
    checkpoint is damaged.
    """
    folder = Path(folder)
    config = run_folder.load_config(folder, overrides)
    module, datamodule = build(config)
    weights = checkpoint.load(folder / run_folder.CHECKPOINT)["state_dict"]
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{folder / run_folder.CHECKPOINT} does not fit its config and {datamodule.subject.root}: correct "
            "data.root, or train the run again."
        ) from error
    return module.eval(), datamodule, config
