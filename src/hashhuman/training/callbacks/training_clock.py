"""Times training, and ends it when its time budget is used up."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console

from hashhuman.errors import UserError
from hashhuman.io.files import save_json
from hashhuman.training.time_budget import Plan


class TrainingClock(L.Callback):
    """Times training from its first optimizer step, and ends it with its schedule when the time budget is used up.

    The time from the construction of this object to the first step is `setup_s`: moving data, posing the bodies,
    carving, and beginning the field. Compiling missing kernels and capturing CUDA graphs count as training. Validation,
    and what a checkpoint makes training wait, are reported separately. A continued training goes on counting, and so
    does its budget. Writes the figures to `path` as JSON, with the steps and seconds at each validation (`marks`).

    Args:
        path: the JSON file.
        max_seconds: time budget of training, instead of a number of steps (`training/time_budget.py`); None: no limit.
        nominal_steps: length of the module's schedule before it is stretched to the time budget (steps).
        now: clock that returns seconds from any origin.

    Raises:
        UserError: if there is a time budget, and it or `nominal_steps` is not positive.
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
                f"budget_s={max_seconds} must be positive, and so must trainer.max_steps={nominal_steps}, the length "
                "of the schedule that is stretched to it."
            )
        self.path = Path(path)
        self.plan = None if max_seconds is None else Plan(max_seconds, nominal_steps)
        self.now = now
        self.made = now()
        self.started: float | None = None
        self.first_step, self.first_step_at = 0, self.made
        self.paused: float | None = None
        self.validation_s = self.checkpoint_s = 0.0
        self.marks: list[list[int | float]] = []  # step and `train_s` at each validation
        self.setup_s = self.before_s = 0.0  # seconds of setup and of training before this process continued

    def setup(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        """Stretches the schedule, before the module makes its optimizer, and tells the module how far training is."""
        if (plan := self.plan) is not None:
            pl_module.progress = plan.progress
            schedule = pl_module.schedule
            pl_module.schedule = lambda step: schedule(plan.nominal(step), plan.stretch)

    @property
    def train_s(self) -> float:
        """Seconds of training so far, by the host's clock."""
        beside = self.validation_s + self.checkpoint_s
        return self.before_s if self.started is None else self.now() - self.started - beside

    def state_dict(self) -> dict[str, Any]:
        """The figures so far and the plan, for a checkpoint."""
        figures = {"train_s": self.train_s, "validation_s": self.validation_s, "checkpoint_s": self.checkpoint_s}
        plan = {} if self.plan is None else vars(self.plan).copy()
        setup = {"setup_s": self._setup_s(), "first_step": self.first_step}
        return figures | setup | {"plan": plan, "marks": [list(mark) for mark in self.marks]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the figures of a checkpoint."""
        self.before_s, self.setup_s = state_dict["train_s"], state_dict["setup_s"]
        self.validation_s, self.checkpoint_s = state_dict["validation_s"], state_dict["checkpoint_s"]
        self.first_step = state_dict["first_step"]
        self.marks = [list(mark) for mark in state_dict.get("marks", [])]  # earlier revisions kept none
        if self.plan is not None:
            vars(self.plan).update(state_dict["plan"])

    def _setup_s(self) -> float:
        """Seconds of setup: of all processes that have worked on this training."""
        begun = self.now() if self.started is None else self.first_step_at
        return self.setup_s + begun - self.made

    def _pause(self, module: L.LightningModule) -> None:
        _wait(module.device)  # kernels of training may still run
        self.paused = self.now()

    def _resume(self, module: L.LightningModule) -> float:
        """Ends a pause and returns its seconds; 0 without a pause, or before the first step."""
        if self.paused is None:
            return 0.0
        _wait(module.device)
        paused, self.paused = self.paused, None
        return 0.0 if self.started is None else self.now() - paused

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Starts the clock at the first step."""
        if self.started is None:
            _wait(pl_module.device)
            self.first_step_at = self.now()
            self.started = self.first_step_at - self.before_s - self.validation_s - self.checkpoint_s
            self.first_step = self.first_step if self.before_s else trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Updates the plan when an update is due, and ends training when its time is up."""
        step = trainer.global_step - self.first_step
        if self.plan is not None and step >= self.plan.next_update:
            _wait(pl_module.device)
            self.plan.update(step, trainer.strategy.broadcast(self.train_s))
            trainer.should_stop = self.plan.over(step)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock, and marks the step and the seconds so far."""
        self._pause(pl_module)
        if self.started is not None and self.paused is not None:
            beside = self.validation_s + self.checkpoint_s
            self.marks.append([trainer.global_step, self.paused - self.started - beside])

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restarts the clock."""
        self.validation_s += self._resume(pl_module)

    @contextlib.contextmanager
    def stopped(self, module: L.LightningModule) -> Iterator[None]:
        """Context for work on a checkpoint, during which the clock is stopped."""
        self._pause(module)
        try:
            yield
        finally:
            self.checkpoint_s += self._resume(module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes and prints the figures."""
        if not trainer.is_global_zero:
            return
        _wait(pl_module.device)
        steps, seconds = trainer.global_step - self.first_step, self.train_s
        cuda = pl_module.device.type == "cuda"
        figures = {
            "setup_s": self._setup_s(),
            "train_s": seconds,
            "validation_s": self.validation_s,
            "checkpoint_s": self.checkpoint_s,
            "steps": steps,
            "marks": self.marks,
            "processes": trainer.world_size,
            "device": torch.cuda.get_device_name(pl_module.device) if cuda else "cpu",
            "peak_gpu_bytes": torch.cuda.max_memory_allocated(pl_module.device) if cuda else None,
        }
        save_json(self.path, figures)
        Console().print(
            f"trained {steps} steps in {seconds:.1f} s on {figures['device']}, from the first optimizer step; "
            f"not counted: {figures['setup_s']:.1f} s of setup, {self.validation_s:.1f} s of validation and "
            f"{self.checkpoint_s:.1f} s of checkpoints",
            highlight=False,
            soft_wrap=True,
        )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
