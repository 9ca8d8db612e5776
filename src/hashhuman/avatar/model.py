"""The avatar: a body, its deformation, its canonical field and how they are rendered. Knows nothing of Lightning."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from hashhuman.avatar.graph_images import GraphImages
from hashhuman.avatar.images import EagerImages, RenderedImage
from hashhuman.avatar.search_index import LinkedStage, Stage, leave_out_empty, link
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import Points
from hashhuman.deformer.residual import Residual
from hashhuman.field.occupancy import Occupancy
from hashhuman.field.parts import PartsField
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays
from hashhuman.gpu.capacity import IndexCapacity, Needed, RayCapacity
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import EVERYTHING, ShellSampler
from hashhuman.renderer.volume import Rendering, Samples, composite


class Avatar(nn.Module):
    """Renders a learned person from any camera in any pose.

    Args:
        template: the body, at rest.
        part_points: indices (into the template's vertices) of each part's points.
        field: canonical colour and density.
        occupancy: which cells of canonical space can hold something.
        skinning: posed to canonical.
        residual: learned displacement of canonical positions.
        neighbors: makes a neighbour index from posed points and parts.
        sampler: where to sample rays.
        shell_voxel: voxel (m) of the map of where samples may lie.
        chunk: rays rendered at a time in pictures; bounds the memory.
        front_bins: bins (`ShellSampler`) of a picture's rays that are rendered before those behind, for the rays that
            have met no surface by then.
        kernels: auto, triton or torch, for compositing.
    """

    def __init__(
        self,
        template: BodyTemplate,
        part_points: Sequence[Int[Tensor, "_"]],
        field: PartsField,
        occupancy: Occupancy,
        skinning: InverseSkinning,
        residual: nn.Module,
        neighbors: Callable[..., NeighborIndex],
        sampler: ShellSampler,
        shell_voxel: float,
        chunk: int,
        front_bins: int = 5,
        kernels: str = "auto",
    ) -> None:
        super().__init__()
        self.template, self.part_points = template, list(part_points)
        self.field, self.occupancy, self.residual = field, occupancy, residual
        self.skinning, self.neighbors, self.sampler = skinning, neighbors, sampler
        self.shell_voxel, self.kernels = shell_voxel, kernels
        self.eager_images = EagerImages(self, chunk, front_bins)
        self.graph_images = GraphImages(self.eager_images)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def images(self) -> EagerImages | GraphImages:
        """Renders pictures, on the present device as fast as that allows."""
        eager = self.kernels == "torch" or self.device.type != "cuda"
        return self.eager_images if eager else self.graph_images

    def stage(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> Stage:
        """Poses the body; `time` gives each pose's index among the training frames, -1 for a pose of its own."""
        return self.measured_stage(poses, time)[0]

    @torch.no_grad()
    def measured_stage(
        self,
        poses: Sequence[BodyPose],
        time: Sequence[int] | Tensor | None = None,
        capacity: IndexCapacity | None = None,
    ) -> tuple[Stage, Int[Tensor, "needed"]]:
        """`stage`, and what `room` would have had to be: its sizes in their order.

        Args:
            capacity: sizes fixed beforehand; None: as large as need be, for which the host waits.
        """
        stage = self._posed(poses, time, capacity)
        of_shell = leave_out_empty(stage, self.skinning, capacity)
        of_grids = getattr(stage.neighbors, "needed", of_shell.new_zeros(1))
        return stage, torch.cat([of_grids, stage.shell.needed, of_shell])

    @torch.no_grad()
    def linked_stage(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> LinkedStage:
        """`stage` for training, which follows what is found empty on the way (`prune`)."""
        return link(self._posed(poses, time), self.skinning)

    def _posed(
        self, poses: Sequence[BodyPose], time: Sequence[int] | Tensor | None, capacity: IndexCapacity | None = None
    ) -> Stage:
        """A stage whose shell has everything near the bodies."""
        self.template = self.template.to(self.device)  # once: later calls find it there
        self.part_points = [points.to(self.device) for points in self.part_points]
        times = torch.as_tensor(time if time is not None else [-1] * len(poses), device=self.device)
        bodies = PosedBodies.from_poses(self.template, [pose.to(self.device) for pose in poses], times)
        fixed = {} if capacity is None else {"capacity": capacity.nodes}
        neighbors = self.neighbors(bodies.vertices, self.part_points, **fixed)
        shell = Shell.around(bodies.vertices, self.skinning.reach, self.shell_voxel, capacity and capacity.shell)
        uv = self.template.uv if self.residual.displaces else None
        return Stage(bodies, neighbors, shell, uv, self.occupancy.cells(self.field))

    @torch.no_grad()
    def prune(self, stage: LinkedStage) -> None:
        """Looks where the field has become empty, and leaves that out of the stage from now on.

        Not with a learned displacement, which carries points from cells that look empty to others.
        """
        if self.residual.displaces:
            return
        self.occupancy.look(self.field, stage.cells)
        stage.prune()

    def forward(
        self,
        rays: Rays,
        stage: Stage,
        jitter: bool = False,
        capacity: RayCapacity | None = None,
        only: Bool[Tensor, "N"] | None = None,
        stretch: tuple[int, int] = (0, EVERYTHING),
    ) -> tuple[Rendering, Residual | None, Needed]:
        """Renders rays; also returns the residual displacements, for their losses, and what room all of it took.

        Args:
            capacity: fixed sizes for everything whose size depends on the data; None: as large as need be, for which
                the host waits.
            only, stretch: which rays, and which part of their way; see `ShellSampler`.
        """
        fixed = None if capacity is None else capacity.samples
        samples = self.sampler(rays, stage.bodies, stage.shell, jitter, fixed, only, stretch)
        points = self.points(rays, samples)
        rows = None if capacity is None else capacity.rows
        pairs = self.skinning(points, stage.bodies, stage.neighbors, stage.uv, stage.canonical, rows)
        residual = self.residual(pairs)
        if residual is not None:
            pairs = dataclasses.replace(pairs, x=pairs.x + residual.value)
        color, density = self.field(pairs)
        return composite(color, density, samples, self.kernels), residual, Needed(samples.needed, pairs.needed)

    @staticmethod
    def points(rays: Rays, samples: Samples) -> Points:
        """The samples' places in the world."""
        directions = rays.rays_d[samples.ray]
        position = torch.addcmul(rays.rays_o[samples.ray], directions, samples.t[:, None])
        return Points(position, directions, rays.frames[samples.ray], samples.start[-1:])

    @torch.no_grad()
    def render_image(
        self, camera: Camera, pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> RenderedImage:
        """Renders a picture; see `render_images`."""
        return next(self.render_images([camera], pose, frame, background))

    @torch.no_grad()
    def render_images(
        self, cameras: Iterable[Camera], pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> Iterator[RenderedImage]:
        """Renders a picture from each camera, one after another.

        Args:
            cameras: the views; any size.
            pose: the body's pose.
            frame: index among the training frames, for what was learned per frame; None for a pose of its own.
            background: grey level or RGB (3) in [0, 1].
        """
        behind = torch.as_tensor(background, device=self.device)
        for image in self.images(cameras, pose, -1 if frame is None else frame):
            yield dataclasses.replace(image, rgb=image.rgb + (1 - image.alpha[..., None]) * behind)
