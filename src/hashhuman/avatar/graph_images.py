"""Whole pictures in two launches: one poses the body, the other renders it.

Posing and rendering launch hundreds of kernels, which the GPU finishes several times faster than the host can launch
them. So both are captured as CUDA graphs. A graph needs fixed sizes: capacities of what earlier pictures needed, with
some slack.
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
from hashhuman.avatar.scene import Scene
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.gpu.capacity import IndexCapacity, RayCapacity
from hashhuman.gpu.cuda_graph import capture, on_side_stream
from hashhuman.gpu.part_rows import padded
from hashhuman.neighbors.grid import GridNeighbors

POSING_SLACK = 1.3  # capacity over the most that posing needed
VIEWING_SLACK = 2.0  # over what rendering needed: a limb that turns into view needs much more than a hidden one


Result = TypeVar("Result")


class Captured(Generic[Result]):
    """A function of tensors of fixed shapes, captured as a CUDA graph.

    Args:
        work: the function.
        inputs: an example.
        device: the GPU.
        first: whether such work is captured for the first time: it then runs once before, which compiles and
            initialises things that a capture must not see.
    """

    def __init__(
        self, work: Callable[..., Result], inputs: Sequence[Tensor], device: torch.device, first: bool
    ) -> None:
        self.inputs = [x.to(device, copy=True) for x in inputs]
        if first:
            on_side_stream(lambda: work(*self.inputs))
        self.graph, self.result = capture(lambda: work(*self.inputs))

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        """The result, whose tensors the next call overwrites."""
        for mine, given in zip(self.inputs, inputs):
            mine.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.result


@dataclasses.dataclass
class Capture(Generic[Result]):
    """The graph of one kind of work, if there is one, its capacity, and the most that the work has needed."""

    most: Int[Tensor, "sizes"]
    capacity: Int[Tensor, "sizes"] | None = None
    captured: Captured[Result] | None = None

    def fits(self, needed: Int[Tensor, "sizes"]) -> Tensor:
        """Whether the capacity suffices, on the device."""
        assert self.capacity is not None
        return (needed <= self.capacity).all()


class GraphImages:
    """The pictures of `EagerImages`, from CUDA graphs.

    The first picture of a size is eager and measures. The second captures posing and rendering. A picture that needs
    more than a capacity is rendered eagerly, and the graph that was too small is captured again with a larger one.
    """

    def __init__(self, eager: EagerImages) -> None:
        self.eager, self.renderer = eager, eager.renderer
        self._start(None)

    def _start(self, key: tuple | None) -> None:
        """Forgets what was captured and measured."""
        self.key = key
        self.posing: Capture[tuple[Scene, Tensor]] | None = None
        self.viewing: Capture[tuple[RenderedImage, Tensor]] | None = None
        self.posed: list[Tensor] | None = None  # the pose of the captured scene

    @torch.no_grad()
    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """A picture over black from each camera; `time` is the pose's index among the training frames, or -1."""
        inputs = [pose.body_pose, pose.orient, pose.transl, torch.tensor([time])]
        for camera in cameras:
            yield self._picture(camera, inputs)

    def _picture(self, camera: Camera, pose: list[Tensor]) -> RenderedImage:
        # A graph holds addresses: of the parameters, and of tensors whose sizes depend on the picture's.
        key = camera.height, camera.width, *(parameter.data_ptr() for parameter in self.renderer.parameters())
        if key != self.key:
            self._start(key)
        if self.posing is None or self.viewing is None or self.viewing.captured is None:
            return self._measured(camera, pose, (True, True))
        assert self.posing.captured is not None
        if self.posed is not pose:
            self.posing.captured(pose)
            self.posed = pose
        image, needed = self.viewing.captured([camera.K, camera.R, camera.T])
        fits = self.posing.fits(self.posing.captured.result[1]), self.viewing.fits(needed)
        posed, seen = torch.stack(fits).tolist()
        if posed and seen:
            return RenderedImage(image.rgb.clone(), image.alpha.clone(), image.depth.clone())
        return self._measured(camera, pose, (not posed, not seen))

    def _measured(self, camera: Camera, pose: list[Tensor], short: tuple[bool, bool]) -> RenderedImage:
        """Renders eagerly, and captures what was too small: posing, viewing or both. The first picture measures."""
        scene, posing_needs = self._posed(None, *pose)
        image, viewing_needs = self.eager.picture(camera, scene)
        if not isinstance(scene.index.neighbors, GridNeighbors):  # others read back how much they found
            return image
        if self.posing is None or self.viewing is None:
            self.posing, self.viewing = Capture(posing_needs), Capture(viewing_needs.flatten())
        else:
            self.posing.most = torch.maximum(self.posing.most, posing_needs)
            self.viewing.most = torch.maximum(self.viewing.most, viewing_needs.flatten())
            self._capture(self.posing, self.viewing, camera, pose, short)
        return image

    def _capture(
        self, posing: Capture, viewing: Capture, camera: Camera, pose: list[Tensor], short: tuple[bool, bool]
    ) -> None:
        device, first = self.renderer.device, viewing.capacity is None
        front, back = viewing_capacities(viewing.most.tolist())
        viewing.captured = None  # frees its memory before the next one; it also holds the scene that it reads
        if short[0]:
            posing.captured = None
            capacity = posing_capacity(posing.most.tolist())
            posing.capacity = torch.tensor(capacity.sizes(), device=device)
            posing.captured = Captured(partial(self._posed, capacity), pose, device, first)
            posing.captured.graph.replay()  # a capture computes nothing, and rendering needs a scene to be tried on
        assert posing.captured is not None
        scene = posing.captured.result[0]

        def seen(K: Tensor, R: Tensor, T: Tensor) -> tuple[RenderedImage, Tensor]:
            view = dataclasses.replace(camera, K=K, R=R, T=T)
            image, needed = self.eager.picture(view, scene, (front, back))
            return image, needed.flatten()

        viewing.capacity = torch.tensor([*front.sizes(), *back.sizes()], device=device)
        viewing.captured = Captured(seen, [camera.K, camera.R, camera.T], device, first)
        self.posed = None

    def _posed(
        self, capacity: IndexCapacity | None, body_pose: Tensor, orient: Tensor, transl: Tensor, time: Tensor
    ) -> tuple[Scene, Int[Tensor, "sizes"]]:
        return self.renderer.measured_scene([BodyPose(body_pose, orient, transl)], time, capacity)


def posing_capacity(needed: Sequence[int]) -> IndexCapacity:
    """What posing gets, from what it needed, in the order of `IndexCapacity.sizes`."""
    nodes, *shell, voxels = (math.ceil(POSING_SLACK * n) for n in needed[:5])
    rows = tuple(padded(math.ceil(POSING_SLACK * n) + 1) for n in needed[5:])
    return IndexCapacity(nodes, (shell[0], shell[1], shell[2]), voxels, rows)


def viewing_capacities(needed: Sequence[int]) -> tuple[RayCapacity, RayCapacity]:
    """What both rounds of rendering get, from what they needed, in the order of `RayCapacity.sizes`."""
    half = len(needed) // 2
    sizes = [padded(math.ceil(VIEWING_SLACK * n) + 1) for n in needed]
    return RayCapacity(sizes[0], tuple(sizes[1:half])), RayCapacity(sizes[half], tuple(sizes[half + 1 :]))
