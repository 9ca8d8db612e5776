"""A cheaper sampler for the first steps."""

from typing import Any

import lightning as L

from hashhuman.renderer.shell_sampler import ShellSampler


class FirstSampler(L.Callback):
    """Lets another sampler choose the samples of the first steps, in which a field takes its rough shape: a coarser one
    makes them cheaper. A recorded step (`step=graph`) would go on with the sampler that it was recorded with.

    Args:
        sampler: of the first steps.
        steps: how many these are.
    """

    def __init__(self, sampler: ShellSampler, steps: int) -> None:
        self.sampler, self.steps = sampler, steps

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Remembers the avatar's own."""
        self.own = pl_module.avatar.sampler

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Puts the other in its place."""
        if trainer.global_step < self.steps:
            pl_module.avatar.sampler = self.sampler

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Puts it back: pictures are rendered with the avatar's own."""
        pl_module.avatar.sampler = self.own
