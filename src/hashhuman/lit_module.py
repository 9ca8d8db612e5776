"""Training as Lightning sees it: thin, since the avatar and the losses do the work."""

from collections.abc import Callable

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hashhuman.avatar import Avatar, RenderedImage, Stage
from hashhuman.data.batch import RayBatch
from hashhuman.data.datamodule import SubjectDataModule, View
from hashhuman.losses import Loss, Prediction, weighted_sum


class HumanModule(L.LightningModule):
    """Optimises an avatar.

    Args:
        avatar: what is learned.
        losses: name -> term of the objective.
        optimizer: makes the optimizer from the parameters.
        schedule: the learning rate's factor at each step.
        log_every: steps between two logged values of the losses; reading them stalls the GPU.
    """

    def __init__(
        self,
        avatar: Avatar,
        losses: dict[str, Loss],
        optimizer: Callable[..., Optimizer],
        schedule: Callable[[int], float],
        log_every: int,
    ) -> None:
        super().__init__()
        self.avatar, self.losses = avatar, nn.ModuleDict(losses)
        self.make_optimizer, self.schedule, self.log_every = optimizer, schedule, log_every
        self.stage: Stage | None = None
        self.last_view: tuple[View, RenderedImage] | None = None  # for callbacks that show pictures

    @property
    def datamodule(self) -> SubjectDataModule:
        """The trainer's data."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def on_fit_start(self) -> None:
        """Poses every training body once."""
        poses = self.datamodule.train_poses
        self.stage = self.avatar.stage(poses, list(range(len(poses))))

    def training_step(self, batch: RayBatch, batch_idx: int) -> Tensor:
        """One batch of rays."""
        assert self.stage is not None
        rendering, residual = self.avatar(batch.rays, self.stage, jitter=True)
        losses: dict[str, Loss] = dict(self.losses)  # type: ignore[arg-type]
        total, terms = weighted_sum(losses, Prediction(rendering, residual), batch)
        if self.global_step % self.log_every == 0:
            self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()} | {"train/loss": total})
        return total

    def validation_step(self, batch: View, batch_idx: int) -> None:
        """One whole picture."""
        rendered = self.avatar.render_image(batch.camera, batch.pose, batch.frame)
        error = (rendered.rgb - batch.image.to(rendered.rgb.device)).square().mean()
        self.log("val/psnr", -10 * torch.log10(error.clamp_min(1e-10)), prog_bar=True, batch_size=1)
        self.last_view = batch, rendered

    def configure_optimizers(self):
        """The optimizer with a per-step schedule."""
        optimizer = self.make_optimizer(self.parameters())
        scheduler = LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
