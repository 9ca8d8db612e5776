"""Trains the avatar that a config describes, goes on with runs that were stopped, and loads finished ones."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hashhuman.avatar.protocol import Avatar
from hashhuman.checks import targets
from hashhuman.checks.folders import check_writable
from hashhuman.checks.ranges import check_ranges
from hashhuman.checks.requirements import check_requirements
from hashhuman.checks.types import check_types
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.gpu import backend
from hashhuman.gpu.precompile import precompiled
from hashhuman.io import checkpoint, files, interruption, leftovers, lock, memory
from hashhuman.io.packages import cause_of, causes_of
from hashhuman.training import ddp, divergence, resume, run_folder, run_parts, state
from hashhuman.training.callbacks.carve import Carve
from hashhuman.training.callbacks.checkpoints import delete_unlisted, newest
from hashhuman.training.divergence import Diverged
from hashhuman.training.lit_module import HumanModule
from hashhuman.training.loggers import ended, log_config, log_evaluation
from hashhuman.training.losses import Loss, weighted_sum
from hashhuman.training.manifest import Manifest
from hashhuman.training.run_folder import continuation


def train(config: DictConfig) -> None:
    """Prepares the subject, trains its avatar and evaluates it. All results are written below `config.run_dir`.

    A run that was stopped goes on there: with the first unfinished stage of its subject, after its last checkpoint, or
    with the evaluation. With `trainer=ddp` several processes run this function. All of them train; the process of rank
    0 does the rest.

    Raises:
        UserError: see `check_config`, `resume.begin` and `resume.check_subject`; also if the subject cannot be
            prepared, another process works on the run, or training breaks down.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # it asks for more workers, but the data is on the device
    check_config(config)
    L.seed_everything(config.seed + ddp.rank(), verbose=False)  # processes draw different rays
    folder = Path(config.run_dir)
    if ddp.rank():
        _fit(config, _trainer(config))
        return
    with lock.alone(folder, wait=False, inside=True), interruption.advising(f"go on with {continuation(folder)}"):
        leftovers.sweep(folder)
        manifest = resume.begin(folder, config)
        if manifest.evaluated and all(manifest.holds(folder, name) for name in run_folder.results(manifest)):
            if Path(config.data.root).is_dir():  # a finished run may outlive its subject
                resume.check_subject(folder, manifest, _subject(config))
            print(f"{folder} is finished, and nothing of it has changed (resume=false trains it again).", flush=True)
            return
        if config.source is not None:
            root = Path(config.data.root)
            with run_folder.removed_if_refused(folder, manifest), lock.alone(root):  # other runs may prepare it, too
                instantiate(config.source).prepare(root)
            memory.give_back()  # training and evaluation need the most; what preprocessing has freed is not added to it
        subject = _subject(config)
        resume.check_subject(folder, manifest, subject)
        evaluator = instantiate(config.eval)  # before training, so that missing packages show early
        evaluator.check(subject)
        trainer = _trainer(config)
        with ended(trainer.loggers):
            module, datamodule = (_trained if manifest.trained else _fit)(config, trainer)
            _evaluate(evaluator, module.avatar, datamodule, folder, trainer.loggers)


def _subject(config: DictConfig) -> Subject:
    return Subject(config.data.root, config.data.smpl_meta, config.data.masks)


def _trainer(config: DictConfig) -> L.Trainer:
    return instantiate(
        config.trainer,
        max_steps=config.trainer.max_steps if config.budget_s is None else -1,
        logger=list(instantiate(config.logger).values()),
        callbacks=[callback for callback in instantiate(config.callbacks).values() if callback is not None],
    )


def _fit(config: DictConfig, trainer: L.Trainer) -> tuple[HumanModule, SubjectDataModule]:
    """Trains, or goes on with training. The module is on the training device again afterwards."""
    folder = Path(config.run_dir)
    with ddp.processes(config, trainer.num_devices):
        module, datamodule = build(config)
        if ddp.rank() == 0:
            log_config(trainer.loggers, files.load_json(folder / run_folder.CONFIG))
        module.to(trainer.strategy.root_device)  # now, so that kernels are compiled while pictures are read
        try:
            with compiled_ahead(module.avatar):
                trainer.fit(module, datamodule=datamodule)
        except Diverged as error:
            raise error.saved(folder) from error
    module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    return module, datamodule


def _trained(config: DictConfig, trainer: L.Trainer) -> tuple[HumanModule, SubjectDataModule]:
    """The module of a run whose training has ended, on the training device, for its evaluation.

    The loggers have what training logged, as after training.
    """
    folder = Path(config.run_dir)
    manifest = Manifest.existing(folder)
    print(f"training has ended already, after step {manifest.step}: only the evaluation is left", flush=True)
    module, datamodule = build(config)
    content = load_weights(module, datamodule, folder, manifest)
    log_config(trainer.loggers, files.load_json(folder / run_folder.CONFIG))
    delete_unlisted(folder, manifest)
    state.restore_logged(trainer.loggers, content.get("loggers", {}))
    module.to(trainer.strategy.root_device)
    return module, datamodule


def _evaluate(
    evaluator: Any, avatar: Avatar, datamodule: SubjectDataModule, folder: Path, loggers: Sequence[Logger]
) -> None:
    """Evaluates into the run folder, tells the loggers, and lists the files in the manifest."""
    manifest = Manifest.existing(folder)
    if manifest.evaluated or manifest.below(run_folder.EVALUATION):
        manifest.evaluated = False
        manifest.forget(run_folder.EVALUATION)
        manifest.save(folder)
    evaluation = evaluator(avatar, datamodule, folder / run_folder.EVALUATION, folder)
    interruption.check()
    log_evaluation(loggers, evaluation, manifest.step)
    manifest.add_below(folder, run_folder.EVALUATION)
    manifest.evaluated = True
    manifest.save(folder)


def evaluate_again(evaluator: Any, avatar: Avatar, datamodule: SubjectDataModule, folder: Path) -> None:
    """Evaluates a finished run into `evaluation/PROTOCOL`, beside what was measured after training.

    The caller holds the run folder's lock.
    """
    part = f"{run_folder.EVALUATION}/{evaluator.protocol.name}"
    with run_parts.listed_anew(folder, part):
        evaluator(avatar, datamodule, folder / part, folder)


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
        instantiate(config.exposure.gains)(n_pictures=len(datamodule.splits["train"])),
    )
    return module, datamodule


def _built(config: DictConfig, source: Path) -> tuple[HumanModule, SubjectDataModule]:
    """`build` for the config of a run folder, whose values may be anything. Raises UserError if it makes no run."""
    with described_by(source):
        check_ranges(config)
        for key in ("data", "avatar", "exposure", "loss", "optimizer", "step"):
            check_types(config[key], key)
        return build(config)


@contextlib.contextmanager
def described_by(source: Path) -> Iterator[None]:
    """Context that uses the config of a run folder, in the file `source`. Raises UserError if it describes no run."""
    try:
        yield
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
            another run, or its config or its checkpoint has changed since training wrote it.
    """
    folder = Path(folder)
    config = run_folder.load_config(folder, overrides, admitted)
    module, datamodule = _built(config, folder / run_folder.CONFIG)
    load_weights(module, datamodule, folder, Manifest.existing(folder))
    return module.eval(), datamodule, config


def load_weights(
    module: HumanModule, datamodule: SubjectDataModule, folder: Path, manifest: Manifest
) -> dict[str, Any]:
    """Loads the final weights of a run. Returns the whole content of its checkpoint.

    Raises:
        UserError: if the checkpoint is damaged, is not the one that training wrote, or does not fit the module.
    """
    path = folder / run_folder.CHECKPOINT
    content = checkpoint.load(path, expected=manifest.files.get(run_folder.CHECKPOINT, ""))
    weights = checkpoint.weights_of(content, path)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit its config and {datamodule.subject.root}: correct data.root, or train the run again."
        ) from error
    return content


def replay(folder: str | Path, admitted: targets.Register | None = None) -> dict[str, float]:
    """Computes the losses of the rays with which a training broke down, with the weights of its last checkpoint.

    A loss that draws places of its own, such as that of `callbacks.carve`, draws others than training did.

    Args:
        folder: the run folder, with `diverged.pt`.
        admitted: the classes that the run may name; None: `targets.admitted()`.

    Returns:
        The loss terms, unweighted, by name.

    Raises:
        UserError: if the folder has no undamaged `diverged.pt` or checkpoint.
    """
    folder = Path(folder)
    config = OmegaConf.create(run_folder.saved_content(folder, admitted))
    assert isinstance(config, DictConfig)
    _, recorded, batch = divergence.load_batch(folder)
    module, datamodule = build(config)
    saved = newest(folder, Manifest.existing(folder)) or {"callbacks": {}}
    if "state_dict" in saved:
        module.load_state_dict(saved["state_dict"])
    scene = module.avatar.prepare(datamodule.train_poses, datamodule.train_frames)
    for callback in instantiate(config.callbacks).values():
        if isinstance(callback, Carve):  # without it, some losses have nothing to compare with
            callback.load_state_dict(saved["callbacks"].get(callback.state_key, {}))
            callback.begin(module.avatar, scene, datamodule)
    prediction = module.exposed(module.avatar.predict(batch, scene))
    losses: dict[str, Loss] = dict(module.losses)  # type: ignore[arg-type]
    losses = {name: loss for name, loss in losses.items() if name in recorded}  # some are rare, or had not begun yet
    _, terms = weighted_sum(losses, prediction)
    return {name: float(term.detach()) for name, term in terms.items()}
