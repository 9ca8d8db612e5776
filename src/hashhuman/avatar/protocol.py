"""The interface that training, evaluation and viewers use of every avatar."""

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
        """The device of the parameters."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """Moves the avatar to a device and returns it, as `torch.nn.Module.to` does."""
        ...

    def warm_up(self) -> None:
        """Launches every kernel of training and rendering once, on small inputs, so that all can be precompiled."""
        ...

    def capture_obstacle(self) -> str | None:
        """What keeps `predict` from being captured as a CUDA graph, as a clause; None if nothing does."""
        ...

    def prepare(self, poses: Sequence[BodyPose], frames: Sequence[int] | None = None) -> Any:
        """Returns the state that training keeps between steps: the bodies of all training frames, in their order.

        Args:
            poses: the fitted poses.
            frames: numbers of the frames in the video, ascending; None: 0, 1, 2, ...
        """
        ...

    def predict(self, batch: RayBatch, scene: Any, capacity: RayCapacity | None = None) -> Prediction:
        """Renders a training batch. Returns all that the losses may use. `scene` is the result of `prepare`."""
        ...

    def after_step(self, scene: Any, step: int) -> tuple[Any, bool]:
        """Updates the scene after optimizer step `step` (counted from 1).

        Returns:
            The scene for the next step, and whether a CUDA graph of the step must be captured again, because memory
            that it holds was replaced or because the next step computes something else.
        """
        ...

    def refined_pose(self, pose: BodyPose, frame: int) -> BodyPose:
        """The pose of a frame of the video as training has corrected it.

        Args:
            pose: the fitted pose.
            frame: number of the frame in the video.
        """
        ...

    def fit_pose(
        self, camera: Camera, image: Float[Tensor, "H W 3"], mask: Float[Tensor, "H W"], pose: BodyPose, **options: Any
    ) -> BodyPose:
        """Fits a pose to one picture, with the avatar as it is; for `eval.fit_poses`, whose options it gets.

        Args:
            camera: the view.
            image: RGB in [0, 1], the person on black.
            mask: the person's coverage in [0, 1].
            pose: where to begin.
            options: those of `eval.pose_fit`.
        """
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for a torch optimizer: each is a dictionary with `params` and `name`.

        A group may have a learning rate `lr` of its own, and `factor`, a function of the step by which the schedule's
        factor is multiplied.
        """
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


@runtime_checkable
class VolumetricAvatar(Protocol):
    """What an `Avatar` has besides if it has a colour and a density everywhere: exporters ask for these alone."""

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        ...

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
