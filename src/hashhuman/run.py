"""Builds everything from a config, trains it, and loads what was trained."""

import logging
import warnings
from pathlib import Path

import lightning as L
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hashhuman import checkpoint
from hashhuman.avatar import Avatar
from hashhuman.body.template import thinned
from hashhuman.data import files
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.errors import UserError
from hashhuman.lit_module import HumanModule
from hashhuman.loggers import log_evaluation

CONFIG, CHECKPOINT, EVALUATION = "config.json", "checkpoints/last.ckpt", "evaluation"


def train(config: DictConfig) -> None:
    """Prepares the subject, trains its avatar, evaluates it; all figures and pictures go below `config.run_dir`."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # about workers, which data on the device does not need
    L.seed_everything(config.seed, verbose=False)
    if config.source is not None:
        instantiate(config.source).prepare(Path(config.data.root))
    folder = Path(config.run_dir)
    evaluator = instantiate(config.eval)  # before training: what it lacks should not show after it
    module, datamodule = build(config)
    files.save_json(folder / CONFIG, OmegaConf.to_container(config, resolve=True))
    trainer: L.Trainer = instantiate(
        config.trainer,
        logger=list(instantiate(config.logger).values()),
        callbacks=list(instantiate(config.callbacks).values()),
    )
    trainer.fit(module, datamodule=datamodule)
    module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU
    report = evaluator(module.avatar, datamodule, folder / EVALUATION)
    log_evaluation(trainer.loggers, report, folder / EVALUATION, trainer.global_step)


def build(config: DictConfig) -> tuple[HumanModule, SubjectDataModule]:
    """The module and the data that a config describes; `config.data.root` must be a subject folder."""
    datamodule: SubjectDataModule = instantiate(config.data)
    module = HumanModule(
        build_avatar(config, datamodule),
        dict(instantiate(config.loss)),
        instantiate(config.optimizer.optimizer),
        instantiate(config.optimizer.schedule),
        instantiate(config.step),
        config.log_every,
    )
    return module, datamodule


def build_avatar(config: DictConfig, datamodule: SubjectDataModule) -> Avatar:
    """An untrained avatar of the subject."""
    template = thinned(datamodule.subject.template(), config.neighbors.max_points)
    n_frames = len(datamodule.train_frames)
    skinning = instantiate(config.deformer.skinning)
    field, part_points = instantiate(config.field)(
        template=template, n_frames=n_frames, encoder=instantiate(config.encoder), reach=skinning.reach
    )
    residual = instantiate(config.deformer.residual)(n_frames=n_frames, backend=instantiate(config.encoder.backend))
    return Avatar(
        template, part_points, field, skinning, residual, instantiate(config.neighbors.index),
        **instantiate(config.renderer),
    )  # fmt: skip


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
