"""What training, evaluation and every viewer ask of an avatar, whatever it is made of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
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
        """Where the parameters are."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """Itself, moved, as `torch.nn.Module` does."""
        ...

    def warm_up(self) -> None:
        """Launches every kernel of training and rendering once, in miniature, so that they can be compiled ahead."""
        ...

    def capture_obstacle(self) -> str | None:
        """What keeps `predict` from being captured as a CUDA graph, as a clause; None if nothing does."""
        ...

    def prepare(self, poses: Sequence[BodyPose]) -> Any:
        """What training keeps over its steps: the bodies of all training frames, in their order."""
        ...

    def predict(self, batch: RayBatch, scene: Any, capacity: RayCapacity | None = None) -> Prediction:
        """Renders a training batch: all that the losses may see. `scene` is what `prepare` returned."""
        ...

    def after_step(self, scene: Any, step: int) -> bool:
        """Housekeeping after optimizer step `step` (from 1). True if memory that a CUDA graph may hold was replaced."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer, as torch takes them: each has `params` and a `name`."""
        ...

    def render_images(
        self, cameras: Iterable[Camera], pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> Iterator[RenderedImage]:
        """A picture from each camera, of one pose; `frame` is its index among the training frames, if it is one."""
        ...

    def render_image(
        self, camera: Camera, pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> RenderedImage:
        """One picture."""
        ...


@runtime_checkable
class VolumetricAvatar(Avatar, Protocol):
    """An avatar that has a colour and a density everywhere, for exporters."""

    def scene(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> Any:
        """Bodies in these poses; `time`: each one's index among the training frames, or -1; None: all are -1."""
        ...

    def query(
        self,
        positions: Float[Tensor, "N 3"],
        scene: Any,
        directions: Float[Tensor, "N 3"] | None = None,
        frames: Int[Tensor, "N"] | None = None,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Colour (RGB) and density (1/m) at places in the world (m); density 0 away from the bodies.

        In a scene of `template.big_pose()` without orientation and translation, the world is canonical space.

        Args:
            positions: in the world (m).
            scene: what `scene` returned.
            directions: unit, of the rays that look; None: along z.
            frames: which body of the scene; None: the first.
        """
        ...
