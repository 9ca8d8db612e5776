"""Renders whole pictures from two CUDA graphs: one poses the body, the other renders it.

Posing and rendering launch hundreds of kernels. The GPU finishes them several times faster than the host can launch
them, so both are captured as CUDA graphs. A graph needs fixed array sizes. These capacities are what earlier pictures
needed, times a slack.
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

POSING_SLACK = 1.3  # ratio of the capacity to the most that posing needed
VIEWING_SLACK = 2.0  # the same for rendering; larger, because a limb that turns into view needs many more samples

Result = TypeVar("Result")


class CapturedFunction(Generic[Result]):
    """A function of tensors of fixed shapes, captured as a CUDA graph.

    Args:
        work: the function.
        inputs: example tensors, with the shapes and dtypes of every later call.
        device: the GPU.
        first: whether this function is captured for the first time. It then runs once before, because a capture must
            contain neither compilation nor initialisation.
    """

    def __init__(
        self, work: Callable[..., Result], inputs: Sequence[Tensor], device: torch.device, first: bool
    ) -> None:
        self.inputs = [x.to(device, copy=True) for x in inputs]
        if first:
            on_side_stream(lambda: work(*self.inputs))
        self.graph, self.result = capture(lambda: work(*self.inputs))

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        """Replays the graph on new inputs. The next call overwrites the tensors of the result."""
        for mine, given in zip(self.inputs, inputs):
            mine.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.result


@dataclasses.dataclass
class CapturedPass(Generic[Result]):
    """A CUDA graph of posing or rendering with its capacity, and the largest sizes needed so far."""

    most: Int[Tensor, "sizes"]
    capacity: Int[Tensor, "sizes"] | None = None
    captured: CapturedFunction[Result] | None = None

    def fits(self, needed: Int[Tensor, "sizes"]) -> Tensor:
        """Whether the capacity suffices, as a scalar on the device."""
        assert self.capacity is not None
        return (needed <= self.capacity).all()


class GraphImages:
    """Renders the same pictures as `EagerImages`, from CUDA graphs.

    The first picture of a given size is rendered eagerly, to measure the sizes that it needs. The second one captures
    posing and rendering. If a later picture exceeds a capacity, it is rendered eagerly, and the graph that was too
    small is captured again with a larger capacity.
    """

    def __init__(self, eager: EagerImages) -> None:
        self.eager, self.renderer = eager, eager.renderer
        self._start(None)

    def _start(self, key: tuple | None) -> None:
        """Drops all graphs and measured sizes."""
        self.key = key
        self.posing: CapturedPass[tuple[Scene, Tensor]] | None = None
        self.viewing: CapturedPass[tuple[RenderedImage, Tensor]] | None = None
        self.posed: list[Tensor] | None = None  # the pose of the captured scene

    @torch.no_grad()
    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """Yields a picture over black from each camera; `time` is the pose's index among the training frames, or -1."""
        inputs = [pose.body_pose, pose.orient, pose.transl, torch.tensor([time])]
        for camera in cameras:
            yield self._picture(camera, inputs)

    def _picture(self, camera: Camera, pose: list[Tensor]) -> RenderedImage:
        # A graph holds the addresses of the parameters and of tensors whose sizes depend on the picture's size.
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

    def _measured(self, camera: Camera, pose: list[Tensor], too_small: tuple[bool, bool]) -> RenderedImage:
        """Renders eagerly, and captures the graphs that were too small again. The first picture only measures.

        Args:
            camera: the view.
            pose: body pose, orientation, translation and time.
            too_small: whether the graphs of posing and of viewing were too small.
        """
        scene, posing_needs = self._posed(None, *pose)
        image, viewing_needs = self.eager.picture(camera, scene)
        if not isinstance(scene.index.neighbors, GridNeighbors):  # other searches copy sizes to the host
            return image
        if self.posing is None or self.viewing is None:
            self.posing, self.viewing = CapturedPass(posing_needs), CapturedPass(viewing_needs.flatten())
        else:
            self.posing.most = torch.maximum(self.posing.most, posing_needs)
            self.viewing.most = torch.maximum(self.viewing.most, viewing_needs.flatten())
            self._capture(self.posing, self.viewing, camera, pose, too_small)
        return image

    def _capture(
        self,
        posing: CapturedPass,
        viewing: CapturedPass,
        camera: Camera,
        pose: list[Tensor],
        too_small: tuple[bool, bool],
    ) -> None:
        device, first = self.renderer.device, viewing.capacity is None
        front, back = viewing_capacities(viewing.most.tolist())
        viewing.captured = None  # frees its memory before the next capture; it also holds the scene that it reads
        if too_small[0]:
            posing.captured = None
            capacity = posing_capacity(posing.most.tolist())
            posing.capacity = torch.tensor(capacity.sizes(), device=device)
            posing.captured = CapturedFunction(partial(self._posed, capacity), pose, device, first)
            posing.captured.graph.replay()  # a capture computes nothing, and rendering below needs a real scene
        assert posing.captured is not None
        scene = posing.captured.result[0]

        def seen(K: Tensor, R: Tensor, T: Tensor) -> tuple[RenderedImage, Tensor]:
            view = dataclasses.replace(camera, K=K, R=R, T=T)
            image, needed = self.eager.picture(view, scene, (front, back))
            return image, needed.flatten()

        viewing.capacity = torch.tensor([*front.sizes(), *back.sizes()], device=device)
        viewing.captured = CapturedFunction(seen, [camera.K, camera.R, camera.T], device, first)
        self.posed = None

    def _posed(
        self, capacity: IndexCapacity | None, body_pose: Tensor, orient: Tensor, transl: Tensor, time: Tensor
    ) -> tuple[Scene, Int[Tensor, "sizes"]]:
        return self.renderer.measured_scene([BodyPose(body_pose, orient, transl)], time, capacity)


def posing_capacity(needed: Sequence[int]) -> IndexCapacity:
    """The capacity for posing, with slack, from the needed sizes in the order of `IndexCapacity.sizes`."""
    nodes, *shell, voxels = (math.ceil(POSING_SLACK * n) for n in needed[:5])
    rows = tuple(padded(math.ceil(POSING_SLACK * n) + 1) for n in needed[5:])
    return IndexCapacity(nodes, (shell[0], shell[1], shell[2]), voxels, rows)


def viewing_capacities(needed: Sequence[int]) -> tuple[RayCapacity, RayCapacity]:
    """The capacities for both rounds of rendering, with slack.

    Args:
        needed: the sizes that the first round needed, then those of the second, each as in `RayCapacity.sizes`.
    """
    half = len(needed) // 2
    sizes = [padded(math.ceil(VIEWING_SLACK * n) + 1) for n in needed]
    return RayCapacity(sizes[0], tuple(sizes[1:half])), RayCapacity(sizes[half], tuple(sizes[half + 1 :]))
