"""Shows the avatar in the browser while it is trained."""

import contextlib
from typing import Any

import lightning as L
import torch

from hashhuman.view.subject import Subject
from hashhuman.view.turns import BetweenSteps


class LiveViewer(L.Callback):
    """Serves the viewer during training. Its pictures are rendered between steps, within a share of the time.

    Args:
        viewer: serves (`hashhuman.view.viewer.Viewer`).
        mesh: makes what is drawn while something moves (`hashhuman.view.mesh`).
        fps: frames per second if the subject folder does not say when its pictures were taken.
        share: the largest share of the training time that pictures may take.
    """

    def __init__(self, viewer: Any, mesh: Any, fps: float, share: float) -> None:
        self.viewer, self.mesh, self.fps = viewer, mesh, fps
        self.turns = BetweenSteps(share)
        self.served = contextlib.ExitStack()

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Begins to serve, in the process of rank 0 only. Raises UserError as `Viewer.serving` does."""
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        subject = Subject.of(pl_module.avatar, data, "training", self.fps, None)
        mesh = self.mesh(pl_module.avatar, data)
        address = self.served.enter_context(self.viewer.serving(subject, mesh, self.turns, live=True))
        print(f"training is shown at {address}", flush=True)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Lets a tab render a piece of a picture, if its share of the time is not used up."""
        if not trainer.is_global_zero or not self.turns.due():
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)  # steps that still run are no time of the pictures
        pl_module.avatar.eval()
        self.turns.give()
        pl_module.avatar.train()

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Ends the server, and prints what it took."""
        self.served.close()
        if self.turns.elapsed:
            share = self.turns.spent / self.turns.elapsed
            print(f"the viewer took {self.turns.spent:.1f} s, {share:.1%} of training", flush=True)

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Ends the server."""
        self.served.close()
