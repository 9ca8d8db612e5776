"""Trains the avatar that a config describes, and loads finished runs."""

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
    """Prepares the subject, trains its avatar and evaluates it. All results are written below `config.run_dir`.

    With `trainer=ddp` several processes run this function. All of them train; the process of rank 0 does the rest.

    Raises:
        UserError: see `check_config`; also if the subject cannot be prepared.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # it asks for more workers, but the data is on the device
    check_config(config)
    L.seed_everything(config.seed + ddp.rank(), verbose=False)  # processes draw different rays
    first = ddp.rank() == 0
    if first and config.source is not None:
        root = Path(config.data.root)
        with lock.alone(root):  # other runs of a sweep may prepare the same subject
            instantiate(config.source).prepare(root)
    folder = Path(config.run_dir)
    evaluator = instantiate(config.eval) if first else None  # before training, so that missing packages show early
    trainer: L.Trainer = instantiate(
        config.trainer,
        max_steps=config.trainer.max_steps if config.budget_s is None else -1,
        logger=list(instantiate(config.logger).values()),
        callbacks=[callback for callback in instantiate(config.callbacks).values() if callback is not None],
    )
    with ddp.processes(config, trainer.num_devices):
        module, datamodule = build(config)
        if first:
            run_folder.save_config(folder, config)
        module.to(trainer.strategy.root_device)  # now, so that kernels are compiled while pictures are read
        with compiled_ahead(module.avatar):
            trainer.fit(module, datamodule=datamodule)
    if evaluator is not None:
        module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
        evaluation = evaluator(module.avatar, datamodule, folder / run_folder.EVALUATION)
        log_evaluation(trainer.loggers, evaluation, trainer.global_step)


def compiled_ahead(avatar: Avatar) -> contextlib.AbstractContextManager[None]:
    """Context in which the kernels of an avatar on a GPU are compiled in the background."""
    if avatar.device.type != "cuda" or not backend.installed():
        return contextlib.nullcontext()
    return precompiled(avatar.warm_up)


def check_config(config: DictConfig) -> None:
    """Checks the config for mistakes that would otherwise show only after minutes.

    The packages and files that only preprocessing needs are not checked, since a finished subject needs none of them.

    Raises:
        UserError: for a value out of range, a missing GPU, package or file, and a folder that cannot be written.
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
    """Makes the Lightning module and the data module of a config; `config.data.root` must be a subject folder."""
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
    """Loads a finished run: the module with its trained weights in evaluation mode, the data module and the config.

    Args:
        folder: the run folder.
        overrides: changes to the run's config, for example of `data.root` if the subject has moved.

    Raises:
        UserError: if the folder is not a run that this revision can load, its subject folder is missing or belongs to
            another run, or its checkpoint is damaged.
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
