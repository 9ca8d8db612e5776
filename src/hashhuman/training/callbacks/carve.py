"""Carves canonical space before training, and follows what the surface looks like during training."""

import dataclasses
from typing import Any

import lightning as L
from jaxtyping import Bool
from torch import Tensor

from hashhuman.avatar.beginning import begin_as_body
from hashhuman.avatar.carving import Carving
from hashhuman.body import visibility
from hashhuman.body.nearest import nearest
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.errors import UserError
from hashhuman.training.ddp import AveragingStrategy

PLACES = 256  # for each part and step, when the field is begun as the body
RATE = 0.01  # Adam's learning rate in these steps


class Carve(L.Callback):
    """Empties what lies outside the outlines of the training pictures, and completes what none of them shows.

    The avatar must have a method `carve` (`avatar/model.py`).

    Args:
        carving: the settings of the vote.
        pictures: the most training pictures that vote, evenly spaced.
        views: the most training pictures that decide what was filmed.
        least_views: of these, the least that must show a body point. One picture that grazes it says little.
        read_after: optimizer steps before heights and colours of the surface are read off the field.
        read_every: steps between two readings after that.
        begin_steps: those that make the new field the body, before it sees any picture; 0 leaves them out.
    """

    def __init__(
        self,
        carving: Carving,
        pictures: int,
        views: int,
        least_views: int,
        read_after: int,
        read_every: int,
        begin_steps: int = 0,
    ) -> None:
        self.carving, self.pictures, self.views, self.least_views = carving, pictures, views, least_views
        self.read_after, self.read_every, self.begin_steps = read_after, read_every, begin_steps
        self.surface: Any = None  # the avatar's, while it is trained
        self.read: dict[str, Tensor] = {}  # what the checkpoint that is continued had read

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Carves. Raises UserError for an avatar that cannot be carved."""
        if not callable(getattr(pl_module.avatar, "carve", None)):
            raise UserError("callbacks.carve needs an avatar with a method `carve`: use callbacks.carve=null.")
        self.begin(pl_module.avatar, pl_module.scene, trainer.datamodule)  # type: ignore[attr-defined]
        if isinstance(trainer.strategy, AveragingStrategy):  # each process has drawn other places
            trainer.strategy.configure_ddp()

    def state_dict(self) -> dict[str, Tensor]:
        """What has been read off the field: `height` (V) in metres, `color` (V, 3); `spread`, both before smoothing."""
        if self.surface is None:
            return {}
        return {name: getattr(self.surface, name) for name in ("height", "color", "spread")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what a checkpoint had read; it is set when training starts."""
        self.read = state_dict

    def begin(self, avatar: Any, scene: Any, data: SubjectDataModule) -> None:
        """Carves an avatar, and gives its surface what the checkpoint that is continued had read.

        It carves with the fitted poses, also where refined ones are continued, since the first start did.
        """
        fitted = avatar.pose(data.train_poses, range(len(data.train_poses)))
        self.carve(avatar, dataclasses.replace(scene, bodies=fitted), data)
        self.surface = avatar.surface
        if not self.read:
            begin_as_body(avatar.field, avatar.surface, self.begin_steps, PLACES, RATE)
        for name, value in self.read.items():
            getattr(self.surface, name).copy_(value)

    def carve(self, avatar: Any, scene: Any, data: SubjectDataModule) -> None:
        """Carves an avatar with the poses of a scene, which may have changed since the last time."""
        outlines = data.outlines(self.pictures, avatar.device)
        avatar.carve(scene, outlines, filmed(avatar, data, self.views, self.least_views), self.carving)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Reads the surface off the field."""
        step = trainer.global_step
        if step >= self.read_after and step % self.read_every == 0:
            pl_module.avatar.surface.read(pl_module.avatar.field)


def filmed(avatar: Any, data: SubjectDataModule, most: int, least: int) -> Bool[Tensor, "V"]:
    """Which of an avatar's body points are visible in at least `least` of at most `most` training pictures."""
    pictures = data.splits["train"]
    some = pictures[:: max(1, -(-len(pictures) // most))]
    template = data.subject.template().to(avatar.device)
    views = [(data.subject.camera(p.camera), data.subject.pose(p.frame)) for p in some]
    seen = visibility.times_seen(template, views) >= min(least, len(views))
    return seen[nearest(avatar.template.vertices, template.vertices)[1][:, 0]]  # the avatar's body may be thinned
