"""Trains the avatar that a config describes, and loads finished runs."""

import contextlib
import logging
import warnings
from pathlib import Path

import lightning as L
import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hashhuman.avatar.protocol import Avatar
from hashhuman.checks import targets
from hashhuman.checks.folders import check_writable
from hashhuman.checks.ranges import check_ranges
from hashhuman.checks.requirements import check_requirements
from hashhuman.checks.types import check_types
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.errors import UserError
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.gpu import backend
from hashhuman.gpu.precompile import precompiled
from hashhuman.io import checkpoint, lock
from hashhuman.io.packages import cause_of, causes_of
from hashhuman.training import ddp, run_folder
from hashhuman.training.lit_module import HumanModule
from hashhuman.training.loggers import ended, log_config, log_evaluation


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
    evaluator = instantiate(config.eval) if first else None  # before training, so that missing packages show early
    trainer: L.Trainer = instantiate(
        config.trainer,
        max_steps=config.trainer.max_steps if config.budget_s is None else -1,
        logger=list(instantiate(config.logger).values()),
        callbacks=list(instantiate(config.callbacks).values()),
    )
    with ended(trainer.loggers):
        _train(config, trainer, evaluator)


def _train(config: DictConfig, trainer: L.Trainer, evaluator: Evaluator | None) -> None:
    """Trains and, with an evaluator, evaluates."""
    folder = Path(config.run_dir)
    with ddp.processes(config, trainer.num_devices):
        module, datamodule = build(config)
        if ddp.rank() == 0:
            log_config(trainer.loggers, run_folder.save_config(folder, config))
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
    device = torch.device("cuda" if on_gpu else "cpu")
    backend.chosen(config.kernels, device)
    used = [key for key in config if key not in ("preprocess", "body") and not OmegaConf.is_missing(config, key)]
    for key in used:
        check_types(config[key], str(key))
    check_requirements({key: config[key] for key in used}, device=device)
    check_writable(Path(config.run_dir), "hydra.run.dir= or run_dir=")
    run_folder.check_links(Path(config.run_dir))
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


def _built(config: DictConfig, source: Path) -> tuple[HumanModule, SubjectDataModule]:
    """`build` for the config of a run folder, whose values may be anything. Raises UserError if it makes no run."""
    try:
        check_ranges(config)
        for key in ("data", "avatar", "loss", "optimizer", "step"):
            check_types(config[key], key)
        return build(config)
    except (HydraException, OmegaConfBaseException, TypeError, ValueError, LookupError, AttributeError) as error:
        for cause in causes_of(error):
            if isinstance(cause, UserError):
                raise cause from error
        raise UserError(f"{source} does not describe a run ({cause_of(error)}): train it again.") from error


def load(
    folder: str | Path, overrides: DictConfig | None = None, admitted: targets.Register | None = None
) -> tuple[HumanModule, SubjectDataModule, DictConfig]:
    """Loads a finished run: the module with its trained weights in evaluation mode, the data module and the config.

    Args:
        folder: the run folder.
        overrides: changes to the run's config, for example of `data.root` if the subject has moved.
        admitted: the classes that the run may name; None: `targets.admitted()`.

    Raises:
        UserError: if the folder is not a run that this revision can load, its subject folder is missing or belongs to
            another run, or its checkpoint is damaged.
    """
    folder = Path(folder)
    config = run_folder.load_config(folder, overrides, admitted)
    module, datamodule = _built(config, folder / run_folder.CONFIG)
    weights = checkpoint.load_weights(folder / run_folder.CHECKPOINT)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{folder / run_folder.CHECKPOINT} does not fit its config and {datamodule.subject.root}: correct "
            "data.root, or train the run again."
        ) from error
    return module.eval(), datamodule, config
