"""A cheaper sampler for the first steps."""

from typing import Any

import lightning as L

from hashhuman.renderer.shell_sampler import ShellSampler


class FirstSampler(L.Callback):
    """Replaces the avatar's sampler during the first steps.

    In the first steps the field only learns the rough shape, so a coarser sampler suffices and makes them cheaper. Not
    for `step=graph`: a captured step would keep the sampler with which it was captured.

    Args:
        sampler: sampler of the first steps.
        steps: number of these steps.
    """

    def __init__(self, sampler: ShellSampler, steps: int) -> None:
        self.sampler, self.steps = sampler, steps

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Keeps the avatar's own sampler."""
        self.own = pl_module.avatar.sampler

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Sets the sampler of the first steps."""
        if trainer.global_step < self.steps:
            pl_module.avatar.sampler = self.sampler

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Restores the avatar's own sampler, with which pictures are rendered."""
        pl_module.avatar.sampler = self.own
