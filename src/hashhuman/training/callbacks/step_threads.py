"""How many threads a step takes on a CPU."""

from typing import Any

import lightning as L
import torch

from hashhuman.cpu import loops


class StepThreads(L.Callback):
    """Gives PyTorch a number of threads during steps; compiled loops, and pictures, keep all.

    With few rays a step, threads of PyTorch's operations take longer to wait for each other than to do their work. The
    loops have so much to do at a time that they are faster with all.

    Args:
        count: the number.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.usual: int | None = None  # None between steps

    def on_train_batch_start(self, *_: Any) -> None:
        """Sets the threads of a step."""
        self.usual = torch.get_num_threads()
        loops.limit_threads(self.usual)
        torch.set_num_threads(min(self.count, self.usual))

    def on_train_batch_end(self, *_: Any) -> None:
        """Restores the usual number."""
        if self.usual is not None:
            torch.set_num_threads(self.usual)
            loops.limit_threads(None)
            self.usual = None

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Restores the usual number after a step that failed."""
        self.on_train_batch_end()
