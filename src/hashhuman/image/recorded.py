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

from hashhuman.body.template import BodyPose
from hashhuman.data.camera import Camera
from hashhuman.image.eager import EagerImages, RenderedImage
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.part_rows import padded
from hashhuman.recording import aside, record
from hashhuman.room import Room, StageRoom
from hashhuman.stage import Stage

SLACK = 1.3  # room, over the most that was needed

Result = TypeVar("Result")


class Recorded(Generic[Result]):
    """A function of tensors of fixed shapes, recorded.

    Args:
        work: the function.
        inputs: an example.
        device: the GPU.
    """

    def __init__(self, work: Callable[..., Result], inputs: Sequence[Tensor], device: torch.device) -> None:
        self.inputs = [x.to(device, copy=True) for x in inputs]
        aside(lambda: work(*self.inputs))
        self.graph, self.result = record(lambda: work(*self.inputs))

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        """The result, whose tensors the next call overwrites."""
        for mine, given in zip(self.inputs, inputs):
            mine.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.result


class RecordedImages:
    """`EagerImages`' pictures.

    The first picture of a size is eager and measures; with the second, posing and rendering are recorded. Pictures that
    need more room than there is are rendered eagerly, and the next recording has more.
    """

    def __init__(self, eager: EagerImages) -> None:
        self.eager, self.avatar = eager, eager.avatar
        self._start(None)

    def _start(self, key: tuple | None) -> None:
        """Forgets what was recorded and needed."""
        self.key = key
        self.most: Int[Tensor, "demand"] | None = None
        self.posing: Recorded[tuple[Stage, Tensor]] | None = None
        self.viewing: Recorded[tuple[RenderedImage, Tensor]] | None = None
        self.room: Int[Tensor, "demand"]
        self.posed: list[Tensor] | None = None  # the pose that the recorded stage holds

    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """A picture over black from each camera; `time` as for `Avatar.stage`."""
        inputs = [pose.poses, pose.Rh, pose.Th, torch.tensor([time])]
        for camera in cameras:
            yield self._picture(camera, inputs)

    def _picture(self, camera: Camera, pose: list[Tensor]) -> RenderedImage:
        # A recording holds addresses: of the parameters, and of tensors whose sizes depend on the picture's.
        key = camera.height, camera.width, *(parameter.data_ptr() for parameter in self.avatar.parameters())
        if key != self.key:
            self._start(key)
        if self.posing is not None and self.viewing is not None:
            if self.posed is not pose:
                self.posing(pose)
                self.posed = pose
            image, demand = self.viewing([camera.K, camera.R, camera.T])
            needed = torch.cat([self.posing.result[1], demand])
            if bool((needed <= self.room).all()):
                return RenderedImage(image.rgb.clone(), image.alpha.clone(), image.depth.clone())
        return self._measured(camera, pose)

    def _measured(self, camera: Camera, pose: list[Tensor]) -> RenderedImage:
        """Renders eagerly, and records if it is not the first time."""
        stage, of_stage = self._posed(None, *pose)
        image, of_view = self.eager.picture(camera, stage)
        if not isinstance(stage.neighbors, GridNeighbors):  # others read back how much they found
            return image
        needed = torch.cat([of_stage, of_view.flatten()])
        if self.most is None:
            self.most = needed
        else:
            self.most = torch.maximum(self.most, needed)
            self._record(camera, pose)
        return image

    def _record(self, camera: Camera, pose: list[Tensor]) -> None:
        assert self.most is not None
        stage_room, *rounds = rooms(self.most.tolist())
        self.room = torch.tensor(sizes(stage_room, *rounds), device=self.avatar.device)
        self.posing = self.viewing = None  # frees their memory before the next ones
        self.posing = Recorded(partial(self._posed, stage_room), pose, self.avatar.device)
        stage = self.posing.result[0]
        self.posing.graph.replay()  # a recording computes nothing, and the next one needs a stage to be tried on

        def seen(K: Tensor, R: Tensor, T: Tensor) -> tuple[RenderedImage, Tensor]:
            view = dataclasses.replace(camera, K=K, R=R, T=T)
            image, demand = self.eager.picture(view, stage, (rounds[0], rounds[1]))
            return image, demand.flatten()

        self.viewing = Recorded(seen, [camera.K, camera.R, camera.T], self.avatar.device)
        self.posed = None

    def _posed(
        self, room: StageRoom | None, poses: Tensor, Rh: Tensor, Th: Tensor, time: Tensor
    ) -> tuple[Stage, Int[Tensor, "demand"]]:
        return self.avatar.measured_stage([BodyPose(poses, Rh, Th)], time, room)


def rooms(needed: Sequence[int]) -> tuple[StageRoom, Room, Room]:
    """Room for a stage and both rounds of rendering, from what was needed, in the order of `sizes`."""
    n_parts = (len(needed) - 7) // 3
    nodes, *shell, voxels = (math.ceil(SLACK * n) for n in needed[:5])
    rest = [padded(math.ceil(SLACK * n) + 1) for n in needed[5:]]
    stage = StageRoom(nodes, (shell[0], shell[1], shell[2]), voxels, tuple(rest[:n_parts]))
    front, back = rest[n_parts : 2 * n_parts + 1], rest[2 * n_parts + 1 :]
    return stage, Room(front[0], tuple(front[1:])), Room(back[0], tuple(back[1:]))


def sizes(stage: StageRoom, *rounds: Room) -> list[int]:
    """All sizes of room, one after another."""
    return [
        stage.nodes,
        *stage.shell,
        stage.voxels,
        *stage.rows,
        *(n for room in rounds for n in (room.samples, *room.rows)),
    ]
