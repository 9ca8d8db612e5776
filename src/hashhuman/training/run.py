"""Builds everything from a config, trains it, and loads what was trained."""

import logging
import warnings
from pathlib import Path

import lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hashhuman.avatar import warmup
from hashhuman.avatar.model import Avatar
from hashhuman.body.template import thinned
from hashhuman.checks.folders import check_writable
from hashhuman.checks.ranges import check_ranges
from hashhuman.checks.requirements import check_requirements
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.errors import UserError
from hashhuman.io import checkpoint, files, lock
from hashhuman.training import ddp
from hashhuman.training.lit_module import HumanModule
from hashhuman.training.loggers import log_evaluation

CONFIG, CHECKPOINT, EVALUATION = "config.json", "checkpoints/last.ckpt", "evaluation"


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
            files.save_json(folder / CONFIG, OmegaConf.to_container(config, resolve=True))
        module.to(trainer.strategy.root_device)  # before pictures are read, so that kernels are compiled meanwhile
        with warmup.prepared(module.avatar):
            trainer.fit(module, datamodule=datamodule)
    if evaluator is not None:
        module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU
        report = evaluator(module.avatar, datamodule, folder / EVALUATION)
        log_evaluation(trainer.loggers, report, folder / EVALUATION, trainer.global_step)


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
    check_requirements({key: config[key] for key in config if key not in ("preprocess", "body")})
    check_writable(Path(config.run_dir), "hydra.run.dir= or run_dir=")
    if config.source is not None:
        check_writable(Path(config.data.root).parent, "workspace=")


def build(config: DictConfig) -> tuple[HumanModule, SubjectDataModule]:
    """The module and the data that a config describes; `config.data.root` must be a subject folder."""
    datamodule: SubjectDataModule = instantiate(config.data)
    module = HumanModule(
        build_avatar(config, datamodule),
        dict(instantiate(config.loss)),
        instantiate(config.optimizer.optimizer),
        instantiate(config.optimizer.schedule),
        instantiate(config.step),
        config.pruning.after,
        config.pruning.every,
        config.log_every,
    )
    return module, datamodule


def build_avatar(config: DictConfig, datamodule: SubjectDataModule) -> Avatar:
    """An untrained avatar of the subject."""
    template = thinned(datamodule.subject.template(), config.neighbors.max_points)
    n_frames = len(datamodule.train_frames)
    skinning, networks = instantiate(config.deformer.skinning), instantiate(config.network)
    field, part_points = instantiate(config.field)(
        template=template,
        n_frames=n_frames,
        encoder=instantiate(config.encoder),
        networks=networks,
        reach=skinning.reach,
    )
    residual = instantiate(config.deformer.residual)(
        n_frames=n_frames, grids=instantiate(config.encoder.backend), networks=networks
    )
    renderer = dict(instantiate(config.renderer))
    occupancy = renderer.pop("occupancy")(field)
    return Avatar(
        template, part_points, field, occupancy, skinning, residual, instantiate(config.neighbors.index), **renderer
    )


def load(folder: str | Path, overrides: DictConfig | None = None) -> tuple[HumanModule, SubjectDataModule, DictConfig]:
    """A finished run: module with its trained weights, data and config.

    Args:
        overrides: changes to the run's own config, e.g. of where the subject lies now.

    Raises UserError if the folder is no run, or its checkpoint is damaged.
    """
    folder = Path(folder)
    for needed in (folder / CONFIG, folder / CHECKPOINT):
        if not needed.is_file():
            raise UserError(f"{folder} is not a finished run, since {needed} is missing: name a folder below outputs/.")
    config = OmegaConf.merge(files.load_json(folder / CONFIG), overrides or {})
    assert isinstance(config, DictConfig)
    module, datamodule = build(config)
    module.load_state_dict(checkpoint.load(folder / CHECKPOINT)["state_dict"])
    return module.eval(), datamodule, config
