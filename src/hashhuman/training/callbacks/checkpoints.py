"""Checkpoints during training, from which it goes on after a crash or a signal, and the final weights."""

import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning as L
import torch

from hashhuman.errors import UserError
from hashhuman.io import checkpoint, interruption
from hashhuman.training import divergence, run_folder, state
from hashhuman.training.callbacks.training_clock import TrainingClock
from hashhuman.training.divergence import check_weights
from hashhuman.training.manifest import Manifest

FOLDER = "checkpoints"


class Checkpoints(L.Callback):
    """Saves the complete state of training from time to time, and goes on from the newest one.

    A checkpoint is `checkpoints/step_NNNNNNNN.ckpt`, the state between two steps (`training/state.py`). The state is
    copied on the device; a thread brings it to the host and writes it, so that training goes on meanwhile. Then the
    manifest of the run lists the new checkpoint, and only then is the one before the previous one deleted. When
    training ends, `checkpoints/last.ckpt` has the weights and what was logged. It is listed, and the others are
    deleted, after all callbacks have ended their work: a run whose training has ended lacks nothing of it.

    A signal saves a checkpoint at the end of the present step and raises `Interrupted`.

    Args:
        folder: the run folder, with a manifest (`training/resume.py`).
        every_s: seconds between two checkpoints; None: time does not matter.
        every_steps: steps between two checkpoints; None: steps do not matter.
        now: clock that returns seconds from any origin.
    """

    def __init__(
        self,
        folder: str | Path,
        every_s: int | float | None,
        every_steps: int | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.now = Path(folder), now
        self.every_s, self.every_steps = every_s or math.inf, every_steps or math.inf
        self.random: dict[str, Any] | None = None  # to be set before the first step of a continued training
        self.step, self.time = 0, 0.0  # of the last checkpoint
        self.writing: Future[None] | None = None
        self.digest = ""  # of the final weights

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Restores the newest checkpoint."""
        manifest = Manifest.load(self.folder)
        if manifest is None:
            raise UserError(f"{self.folder} has no manifest: checkpoints need a run that `resume.begin` has begun.")
        self.manifest = manifest
        self.writer = ThreadPoolExecutor(1, "checkpoint")
        if (saved := newest(self.folder, manifest)) is None:
            return
        steps_per_epoch = trainer.datamodule.batches_per_epoch  # type: ignore[attr-defined]
        try:
            state.restore(trainer, pl_module, saved, steps_per_epoch)
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"The checkpoint of step {manifest.step} in {self.folder} does not fit its config and its subject "
                f"({str(error).splitlines()[0]}): train it anew with resume=false."
            ) from error
        pl_module.watch.checked_at = saved["step"]
        self.random = saved["random"] if trainer.is_global_zero else reseeded(trainer, saved["step"])
        if trainer.is_global_zero:
            print(f"going on after step {saved['step']} in {self.folder}", flush=True)

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """From now on, signals wait for the end of a step. Lightning's own handlers would drop SIGTERM."""
        interruption.install()
        interruption.defer()
        self.step, self.time = trainer.global_step, self.now()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Sets the random state of a continued training; saves if a checkpoint is due or a signal was received."""
        if self.random is not None:
            state.set_random_state(self.random, pl_module.device)
            self.random = None
        if not trainer.is_global_zero:
            return
        if self.writing is not None and self.writing.done():
            self._finish_writing()
        step, signum = trainer.global_step, interruption.requested()
        if signum is not None:
            self._stop(trainer, pl_module, signum)
        due = step - self.step >= self.every_steps or self.now() - self.time >= self.every_s
        if due and step > self.step and self.writing is None:
            self._save(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Writes the final weights."""
        if trainer.is_global_zero:
            self._finish_writing()
            with _clock_stopped(trainer, pl_module):
                self.digest = self._save_weights(trainer, pl_module)
        self.writer.shutdown()

    def on_fit_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Lists the final weights and deletes the checkpoints; a signal that was received meanwhile raises."""
        if trainer.is_global_zero:
            self._end(trainer.global_step)
        interruption.no_longer_defer()
        interruption.check()

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Waits for the checkpoint that is being written."""
        interruption.no_longer_defer()
        if hasattr(self, "writer"):
            self.writer.shutdown()

    def _stop(self, trainer: L.Trainer, module: Any, signum: int) -> None:
        """Saves a checkpoint, unless nothing has changed since the last one, and raises `Interrupted`."""
        self._finish_writing()
        if trainer.global_step > self.step:
            self._save(trainer, module)
            self._finish_writing()
        step, again = self.manifest.step, run_folder.continuation(self.folder)
        raise interruption.Interrupted(signum, f"training is saved after step {step}; go on with {again}")

    def _save(self, trainer: L.Trainer, module: Any) -> None:
        with _clock_stopped(trainer, module):
            module.watch.check(trainer.global_step)
            check_weights(module, trainer.global_step)
            copy = state.snapshot(trainer, module)
            copied = None
            if module.device.type == "cuda":
                copied = torch.cuda.Event()
                copied.record()
        self.step, self.time = trainer.global_step, self.now()
        self.writing = self.writer.submit(self._write, copy, copied)

    def _write(self, copy: dict[str, Any], copied: torch.cuda.Event | None) -> None:
        """Brings a copy to the host in a stream of its own, writes it and lists it. Runs in a thread."""
        if copied is not None:
            copied.synchronize()
            with torch.cuda.device(copied.device), torch.cuda.stream(torch.cuda.Stream()):
                copy = state.on_cpu(copy)
        name = f"{FOLDER}/step_{copy['step']:08d}.ckpt"
        digest = checkpoint.save(self.folder / name, copy)
        previous = {other: self.manifest.files[other] for other in listed(self.manifest) if other < name}
        kept = dict(list(previous.items())[-1:]) | {name: digest}
        self.manifest.forget(FOLDER)
        self.manifest.files |= kept
        self.manifest.step = copy["step"]
        self.manifest.save(self.folder)
        delete_unlisted(self.folder, self.manifest)

    def _finish_writing(self) -> None:
        """Waits for the checkpoint that is being written, and raises what went wrong."""
        if self.writing is not None:
            writing, self.writing = self.writing, None
            writing.result()

    def _save_weights(self, trainer: L.Trainer, module: Any) -> str:
        module.watch.check(trainer.global_step)
        check_weights(module, trainer.global_step)
        content = {
            "state_dict": state.on_cpu(module.state_dict()),
            "step": trainer.global_step,
            "loggers": state.logged(trainer.loggers),
        }
        return checkpoint.save(self.folder / run_folder.CHECKPOINT, content)

    def _end(self, step: int) -> None:
        self.manifest.forget(FOLDER)
        self.manifest.files[run_folder.CHECKPOINT] = self.digest
        self.manifest.step, self.manifest.trained = step, True
        self.manifest.save(self.folder)
        delete_unlisted(self.folder, self.manifest)


def delete_unlisted(folder: Path, manifest: Manifest) -> None:
    """Deletes the checkpoints that a manifest does not list, half-written ones, and what a finished training replaces.

    The manifest is saved before, so that a process that is killed in between leaves this to the next one.
    """
    for pattern in ("*.ckpt", ".*.ckpt"):
        for path in (folder / FOLDER).glob(pattern):
            if path.relative_to(folder).as_posix() not in manifest.files:
                path.unlink(missing_ok=True)
    if manifest.trained:
        (folder / divergence.FILE).unlink(missing_ok=True)  # of an attempt that broke down


def listed(manifest: Manifest) -> list[str]:
    """The checkpoints of a manifest, in the order of their steps."""
    return sorted(manifest.below(FOLDER))


def newest(folder: Path, manifest: Manifest) -> dict[str, Any] | None:
    """The newest checkpoint of an unfinished run that is undamaged; None if there is none yet.

    Raises:
        UserError: if there are checkpoints, and all of them are damaged.
    """
    faults = []
    for name in reversed(listed(manifest)):
        try:
            return checkpoint.load(folder / name, expected=manifest.files[name])
        except UserError as error:
            faults.append(str(error))
            print(f"{error} Trying the one before.", flush=True)
    if faults:
        raise UserError(f"{folder} cannot be continued, since none of its checkpoints is undamaged: add resume=false.")
    return None


def reseeded(trainer: L.Trainer, step: int) -> dict[str, Any]:
    """A random state for a process of rank above 0, whose own is not saved: new numbers for the rest of training."""
    L.seed_everything(torch.initial_seed() % 2**31 + step, verbose=False)
    return state.random_state(trainer.strategy.root_device)


def _clock_stopped(trainer: L.Trainer, module: Any) -> contextlib.AbstractContextManager[None]:
    """Context that does not count as training, if a clock times it."""
    clocks = [call for call in trainer.callbacks if isinstance(call, TrainingClock)]  # type: ignore[attr-defined]
    return clocks[0].stopped(module) if clocks else contextlib.nullcontext()
