"""How long training takes, and its end when its time is up."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console

from hashhuman.errors import UserError
from hashhuman.io.files import save_json
from hashhuman.training.time_budget import Plan


class TrainingClock(L.Callback):
    """Times training from its first optimizer step, and ends it, and the schedule with it, when its time is up.

    What comes before that step (moving data, posing the bodies) is `setup_s`, counted from the making of this object;
    compiling kernels that are not yet compiled and recording steps fall into training. Validation and checkpoints are
    reported beside it and not counted in it. Writes the figures to `path` as JSON.

    Args:
        path: of the JSON file.
        max_seconds: of training, whatever number of steps that makes (`training/time_budget.py`); None for as many
            seconds as the steps take.
        nominal_steps: the length that the module's schedule was written for.
        now: the clock, in seconds from any origin.
    """

    def __init__(
        self,
        path: str | Path,
        max_seconds: int | float | None,
        nominal_steps: int,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        if max_seconds is not None and (max_seconds <= 0 or nominal_steps < 1):
            raise UserError(
                f"budget_s={max_seconds} must be positive, and so must trainer.max_steps={nominal_steps}, whose "
                "schedule it stretches."
            )
        self.path = Path(path)
        self.plan = None if max_seconds is None else Plan(max_seconds, nominal_steps)
        self.now = now
        self.made = now()
        self.started: float | None = None
        self.first_step = 0
        self.paused: float | None = None
        self.validation_s = self.checkpoint_s = 0.0

    def setup(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        """Stretches the schedule, before the module makes its optimizer."""
        if (plan := self.plan) is not None:
            schedule = pl_module.schedule
            pl_module.schedule = lambda step: schedule(plan.nominal(step), plan.stretch)

    @property
    def train_s(self) -> float:
        """Seconds of training so far, by the host's clock."""
        beside = self.validation_s + self.checkpoint_s
        return 0.0 if self.started is None else self.now() - self.started - beside

    def _pause(self, module: L.LightningModule) -> None:
        _wait(module.device)  # for what training asked of the device
        self.paused = self.now()

    def _resume(self, module: L.LightningModule) -> float:
        """Seconds since the pause; 0 if training had not begun, or was not interrupted."""
        if self.paused is None:
            return 0.0
        _wait(module.device)
        paused, self.paused = self.paused, None
        return 0.0 if self.started is None else self.now() - paused

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Starts at the first one."""
        if self.started is None:
            _wait(pl_module.device)
            self.started, self.first_step = self.now(), trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Looks at the clock when the plan asks for it, and ends training when its time is up."""
        step = trainer.global_step - self.first_step
        if self.plan is not None and step >= self.plan.next_look:
            _wait(pl_module.device)
            self.plan.look(step, trainer.strategy.broadcast(self.train_s))
            trainer.should_stop = self.plan.over(step)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock."""
        self._pause(pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lets it go on."""
        self.validation_s += self._resume(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock while a checkpoint is written, which Lightning does after all other callbacks."""
        self._pause(pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lets it go on."""
        self.checkpoint_s += self._resume(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes and prints the figures."""
        self.checkpoint_s += self._resume(pl_module)
        if not trainer.is_global_zero:
            return
        _wait(pl_module.device)
        steps, seconds = trainer.global_step - self.first_step, self.train_s
        cuda = pl_module.device.type == "cuda"
        figures = {
            "setup_s": (self.started or self.now()) - self.made,
            "train_s": seconds,
            "validation_s": self.validation_s,
            "checkpoint_s": self.checkpoint_s,
            "steps": steps,
            "processes": trainer.world_size,
            "device": torch.cuda.get_device_name(pl_module.device) if cuda else "cpu",
            "peak_gpu_bytes": torch.cuda.max_memory_allocated(pl_module.device) if cuda else None,
        }
        save_json(self.path, figures)
        Console().print(
            f"trained {steps} steps in {seconds:.1f} s on {figures['device']}, from the first optimizer step; "
            f"setup before it {figures['setup_s']:.1f} s, beside it {self.validation_s:.1f} s of validation and "
            f"{self.checkpoint_s:.1f} s of checkpoints",
            highlight=False,
            soft_wrap=True,
        )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
