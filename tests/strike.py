"""A callback that ends training in its middle, for tests of what is left then."""

import os
from pathlib import Path

import lightning as L


class Strike(L.Callback):
    """Sends a signal to its own process, or raises, after a step; once, as long as its marker file exists.

    Args:
        step: the optimizer step after which it strikes.
        marker: a file that it makes before it strikes.
        signum: the signal; None: it raises ZeroDivisionError instead.
        times: how often it sends the signal.
    """

    def __init__(self, step: int, marker: str, signum: int | None = None, times: int = 1) -> None:
        self.step, self.marker, self.signum, self.times = step, Path(marker), signum, times

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Strikes."""
        if trainer.global_step != self.step or self.marker.exists():
            return
        self.marker.touch()
        if self.signum is None:
            raise ZeroDivisionError("struck")
        for _ in range(self.times):
            os.kill(os.getpid(), self.signum)
