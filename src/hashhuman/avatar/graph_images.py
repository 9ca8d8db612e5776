"""Pictures, rendered in two launches: one poses the body, the other sees it.

Posing and rendering make hundreds of launches, which the GPU finishes several times faster than the host can make them.
They are recorded as CUDA graphs, which need fixed sizes: room for what earlier pictures needed, and some more.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from hashhuman.avatar.images import EagerImages, RenderedImage
from hashhuman.avatar.search_index import Stage
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.gpu.capacity import IndexCapacity, RayCapacity
from hashhuman.gpu.cuda_graph import on_side_stream, record
from hashhuman.gpu.part_rows import padded
from hashhuman.neighbors.grid import GridNeighbors

SLACK = 1.3  # room for posing, over the most that was needed
VIEW_SLACK = 2.0  # and for rendering: a limb that turns into view needs several times as much as one that is hidden

Result = TypeVar("Result")


class Recorded(Generic[Result]):
    """A function of tensors of fixed shapes, recorded.

    Args:
        work: the function.
        inputs: an example.
        device: the GPU.
        first: whether this is the first recording of such work, which compiles and initialises things that a recording
            must not see.
    """

    def __init__(
        self, work: Callable[..., Result], inputs: Sequence[Tensor], device: torch.device, first: bool
    ) -> None:
        self.inputs = [x.to(device, copy=True) for x in inputs]
        if first:
            on_side_stream(lambda: work(*self.inputs))
        self.graph, self.result = record(lambda: work(*self.inputs))

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        """The result, whose tensors the next call overwrites."""
        for mine, given in zip(self.inputs, inputs):
            mine.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.result


@dataclasses.dataclass
class Recording(Generic[Result]):
    """What is recorded of one kind of work, and the most that it has needed."""

    most: Int[Tensor, "needed"]
    capacity: Int[Tensor, "needed"] | None = None
    recorded: Recorded[Result] | None = None

    def fits(self, needed: Int[Tensor, "needed"]) -> Tensor:
        """Whether there is capacity, on the device."""
        assert self.capacity is not None
        return (needed <= self.capacity).all()


class GraphImages:
    """`EagerImages`' pictures.

    The first picture of a size is eager and measures; with the second, posing and rendering are recorded. Pictures that
    need more room than there is are rendered eagerly, and what they found too small is recorded anew with more.
    """

    def __init__(self, eager: EagerImages) -> None:
        self.eager, self.avatar = eager, eager.avatar
        self._start(None)

    def _start(self, key: tuple | None) -> None:
        """Forgets what was recorded and needed."""
        self.key = key
        self.posing: Recording[tuple[Stage, Tensor]] | None = None
        self.viewing: Recording[tuple[RenderedImage, Tensor]] | None = None
        self.posed: list[Tensor] | None = None  # the pose that the recorded stage holds

    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """A picture over black from each camera; `time` as for `Avatar.stage`."""
        inputs = [pose.body_pose, pose.orient, pose.transl, torch.tensor([time])]
        for camera in cameras:
            yield self._picture(camera, inputs)

    def _picture(self, camera: Camera, pose: list[Tensor]) -> RenderedImage:
        # A recording holds addresses: of the parameters, and of tensors whose sizes depend on the picture's.
        key = camera.height, camera.width, *(parameter.data_ptr() for parameter in self.avatar.parameters())
        if key != self.key:
            self._start(key)
        if self.posing is None or self.viewing is None or self.viewing.recorded is None:
            return self._measured(camera, pose, (True, True))
        assert self.posing.recorded is not None
        if self.posed is not pose:
            self.posing.recorded(pose)
            self.posed = pose
        image, needed = self.viewing.recorded([camera.K, camera.R, camera.T])
        fits = self.posing.fits(self.posing.recorded.result[1]), self.viewing.fits(needed)
        posed, seen = torch.stack(fits).tolist()
        if posed and seen:
            return RenderedImage(image.rgb.clone(), image.alpha.clone(), image.depth.clone())
        return self._measured(camera, pose, (not posed, not seen))

    def _measured(self, camera: Camera, pose: list[Tensor], short: tuple[bool, bool]) -> RenderedImage:
        """Renders eagerly; captures what was `short` of capacity (posing, viewing), if it is not the first picture."""
        stage, of_stage = self._posed(None, *pose)
        image, of_view = self.eager.picture(camera, stage)
        if not isinstance(stage.neighbors, GridNeighbors):  # others read back how much they found
            return image
        if self.posing is None or self.viewing is None:
            self.posing, self.viewing = Recording(of_stage), Recording(of_view.flatten())
        else:
            self.posing.most = torch.maximum(self.posing.most, of_stage)
            self.viewing.most = torch.maximum(self.viewing.most, of_view.flatten())
            self._record(self.posing, self.viewing, camera, pose, short)
        return image

    def _record(
        self, posing: Recording, viewing: Recording, camera: Camera, pose: list[Tensor], short: tuple[bool, bool]
    ) -> None:
        device, first = self.avatar.device, viewing.capacity is None
        front, back = view_capacities(viewing.most.tolist())
        viewing.recorded = None  # frees its memory before the next one; it also holds the stage that it reads
        if short[0]:
            posing.recorded = None
            capacity = index_capacity(posing.most.tolist())
            posing.capacity = torch.tensor(capacity.sizes(), device=device)
            posing.recorded = Recorded(partial(self._posed, capacity), pose, device, first)
            posing.recorded.graph.replay()  # a recording computes nothing, and rendering needs a stage to be tried on
        assert posing.recorded is not None
        stage = posing.recorded.result[0]

        def seen(K: Tensor, R: Tensor, T: Tensor) -> tuple[RenderedImage, Tensor]:
            view = dataclasses.replace(camera, K=K, R=R, T=T)
            image, needed = self.eager.picture(view, stage, (front, back))
            return image, needed.flatten()

        viewing.capacity = torch.tensor([*front.sizes(), *back.sizes()], device=device)
        viewing.recorded = Recorded(seen, [camera.K, camera.R, camera.T], device, first)
        self.posed = None

    def _posed(
        self, capacity: IndexCapacity | None, body_pose: Tensor, orient: Tensor, transl: Tensor, time: Tensor
    ) -> tuple[Stage, Int[Tensor, "needed"]]:
        return self.avatar.measured_stage([BodyPose(body_pose, orient, transl)], time, capacity)


def index_capacity(needed: Sequence[int]) -> IndexCapacity:
    """RayCapacity for posing, from what was needed, in the order of `IndexCapacity.sizes`."""
    nodes, *shell, voxels = (math.ceil(SLACK * n) for n in needed[:5])
    rows = tuple(padded(math.ceil(SLACK * n) + 1) for n in needed[5:])
    return IndexCapacity(nodes, (shell[0], shell[1], shell[2]), voxels, rows)


def view_capacities(needed: Sequence[int]) -> tuple[RayCapacity, RayCapacity]:
    """RayCapacity for both rounds of rendering, from what was needed, in the order of `RayCapacity.sizes`."""
    half = len(needed) // 2
    sizes = [padded(math.ceil(VIEW_SLACK * n) + 1) for n in needed]
    return RayCapacity(sizes[0], tuple(sizes[1:half])), RayCapacity(sizes[half], tuple(sizes[half + 1 :]))
