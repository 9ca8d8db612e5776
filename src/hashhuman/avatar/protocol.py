"""The interface that training, evaluation and viewers use of every avatar."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from hashhuman.avatar.images import RenderedImage
from hashhuman.avatar.prediction import Prediction
from hashhuman.body.template import BodyPose
from hashhuman.data.batch import RayBatch
from hashhuman.geometry.camera import Camera
from hashhuman.gpu.capacity import RayCapacity


@runtime_checkable
class Avatar(Protocol):
    """A learned person. Implementations are `torch.nn.Module`s; `avatar/model.py` is one."""

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """Moves the avatar to a device and returns it, as `torch.nn.Module.to` does."""
        ...

    def warm_up(self) -> None:
        """Launches every kernel of training and rendering once, on small inputs, so that all can be precompiled."""
        ...

    def prepare(self, poses: Sequence[BodyPose]) -> Any:
        """Returns the state that training keeps between steps: the bodies of all training frames, in their order."""
        ...

    def predict(self, batch: RayBatch, scene: Any, capacity: RayCapacity | None = None) -> Prediction:
        """Renders a training batch. Returns all that the losses may use. `scene` is the result of `prepare`."""
        ...

    def after_step(self, scene: Any, step: int) -> bool:
        """Updates the scene after optimizer step `step` (counted from 1).

        Returns True if memory that a CUDA graph may hold was replaced.
        """
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for a torch optimizer: each is a dictionary with `params` and `name`."""
        ...

    def render_images(
        self, cameras: Iterable[Camera], pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> Iterator[RenderedImage]:
        """Renders a picture of one pose from each camera.

        Args:
            cameras: the views, of any size.
            pose: the body's pose.
            frame: the pose's index among the training frames; None for a pose that is not among them.
            background: grey level or RGB (3) in [0, 1].
        """
        ...

    def render_image(
        self, camera: Camera, pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> RenderedImage:
        """Renders one picture; see `render_images`."""
        ...
