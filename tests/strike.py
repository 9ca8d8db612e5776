"""Objects that end training, evaluation and export in their middle, for tests of what is left then."""

import os
from pathlib import Path

import lightning as L

from hashhuman.evaluation.product import Evaluation, Made, MeasuredPicture, Product, Submit
from hashhuman.export.exporter import Exports


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


class StrikeProduct(Product):
    """A product of an evaluation that sends a signal to its own process while a picture is measured; once."""

    def __init__(self, marker: str, signum: int) -> None:
        self.marker, self.signum = Path(marker), signum

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, submit: Submit) -> None:
        """Strikes."""
        _send_once(self.marker, self.signum)

    def make(self, evaluation: Evaluation) -> Made:
        """Nothing."""
        return Made()


class StrikeFormat:
    """A format of files to take away that sends a signal to its own process; once. Then it writes an empty file."""

    def __init__(self, marker: str, signum: int) -> None:
        self.marker, self.signum = Path(marker), signum

    def __call__(self, exports: Exports, folder: Path) -> Path:
        """Strikes."""
        _send_once(self.marker, self.signum)
        (folder / "struck.txt").touch()
        return folder / "struck.txt"


def _send_once(marker: Path, signum: int) -> None:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signum)
