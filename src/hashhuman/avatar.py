"""The avatar: a body, its deformation, its canonical field and how they are rendered. Knows nothing of Lightning."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.camera import Camera
from hashhuman.deformer.bodies import PosedBodies
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import Points
from hashhuman.deformer.residual import Residual
from hashhuman.field.occupancy import Occupancy
from hashhuman.field.parts import PartsField
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.part_rows import padded
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import EVERYTHING, ShellSampler
from hashhuman.renderer.volume import Rays, Rendering, Samples, composite
from hashhuman.stage import Stage, set_stage
from hashhuman.triton_device import chosen

OPAQUE = 0.998  # from here on nothing behind shows: less than half a grey level of 255


@dataclasses.dataclass(frozen=True)
class Room:
    """Sizes fixed beforehand, so that nothing has to be counted first; only Triton's kernels keep to them."""

    samples: int
    rows: tuple[int, ...]  # of each part; multiples of `part_rows.GRANULE`


@dataclasses.dataclass(frozen=True)
class Demand:
    """What `Room` would have had to be, on the device."""

    samples: Int[Tensor, "1"]
    rows: Int[Tensor, "P"]


@dataclasses.dataclass(frozen=True)
class RenderedImage:
    """A rendered picture over its background."""

    rgb: Float[Tensor, "H W 3"]  # in [0, 1]
    alpha: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]  # expected distance along the ray (m); 0 where alpha is 0


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
        self.shell_voxel, self.chunk, self.kernels = shell_voxel, chunk, kernels
        self.front_bins = front_bins
        # number of rays, and part of their way -> room that they needed last time, and some more
        self.recent: dict[tuple[int, tuple[int, int]], Room] = {}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @torch.no_grad()
    def stage(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> Stage:
        """Poses the body; `time` gives each pose's index among the training frames, -1 for a pose of its own."""
        self.template = self.template.to(self.device)  # once: later calls find it there
        self.part_points = [points.to(self.device) for points in self.part_points]
        times = torch.tensor(time if time is not None else [-1] * len(poses), device=self.device)
        bodies = PosedBodies.from_poses(self.template, [pose.to(self.device) for pose in poses], times)
        neighbors = self.neighbors(bodies.vertices, self.part_points)
        shell = Shell.around(bodies.vertices, self.skinning.reach, self.shell_voxel)
        uv = self.template.uv if self.residual.displaces else None
        return set_stage(bodies, neighbors, shell, uv, self.skinning, self.occupancy.cells(self.field))

    @torch.no_grad()
    def prune(self, stage: Stage) -> None:
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
        room: Room | None = None,
        only: Bool[Tensor, "N"] | None = None,
        stretch: tuple[int, int] = (0, EVERYTHING),
    ) -> tuple[Rendering, Residual | None, Demand]:
        """Renders rays; also returns the residual displacements, for their losses, and what room all of it took.

        Args:
            room: fixed sizes for everything whose size depends on the data; None: as large as need be, for which the
                host waits.
            only, stretch: which rays, and which part of their way; see `ShellSampler`.
        """
        fixed = None if room is None else room.samples
        samples = self.sampler(rays, stage.bodies, stage.shell, jitter, fixed, only, stretch)
        points = self.points(rays, samples)
        rows = None if room is None else room.rows
        pairs = self.skinning(points, stage.bodies, stage.neighbors, stage.uv, stage.canonical, rows)
        residual = self.residual(pairs)
        if residual is not None:
            pairs = dataclasses.replace(pairs, x=pairs.x + residual.value)
        color, density = self.field(pairs)
        return composite(color, density, samples, self.kernels), residual, Demand(samples.wanted, pairs.wanted)

    @staticmethod
    def points(rays: Rays, samples: Samples) -> Points:
        """The samples' places in the world."""
        directions = rays.directions[samples.ray]
        position = torch.addcmul(rays.origins[samples.ray], directions, samples.t[:, None])
        return Points(position, directions, rays.frames[samples.ray], samples.start[-1:])

    @torch.no_grad()
    def render_image(
        self, camera: Camera, pose: BodyPose, frame: int | None = None, background: float | Tensor = 0.0
    ) -> RenderedImage:
        """Renders a picture.

        Args:
            camera: the view; any size.
            pose: the body's pose.
            frame: index among the training frames, for what was learned per frame; None for a pose of its own.
            background: grey level or RGB (3) in [0, 1].
        """
        return self.render_stage(camera, self.stage([pose], [-1 if frame is None else frame]), background)

    @torch.no_grad()
    def render_stage(self, camera: Camera, stage: Stage, background: float | Tensor = 0.0) -> RenderedImage:
        """Renders the first body of a stage, which may be kept for many cameras."""
        height, width = camera.height, camera.width
        rays = self.camera_rays(camera)
        parts = [self.render_rays(rays[first : first + self.chunk], stage) for first in range(0, len(rays), self.chunk)]
        rgb, alpha, depth = (torch.cat(x).unflatten(0, (height, width)) for x in zip(*parts))
        rgb = rgb + (1 - alpha[..., None]) * torch.as_tensor(background, device=self.device)
        return RenderedImage(rgb, alpha, depth / alpha.clamp_min(1e-6) * (alpha > 0))

    def render_rays(
        self, rays: Rays, stage: Stage
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"], Float[Tensor, "N"]]:
        """Premultiplied colour, opacity and depth of rays, in two rounds.

        Most rays end at the first surface; what lies behind it is evaluated for the others alone.
        """
        front = self._round(rays, stage, None, (0, self.front_bins))
        back = self._round(rays, stage, front.alpha < OPAQUE, (self.front_bins, EVERYTHING))
        left = 1 - front.alpha
        color = front.color + left[:, None] * back.color
        return color, front.alpha + left * back.alpha, front.depth + left * back.depth

    def _round(self, rays: Rays, stage: Stage, only: Bool[Tensor, "N"] | None, stretch: tuple[int, int]) -> Rendering:
        """Renders a stretch of rays. Triton's kernels get the room that as many rays needed last time, which spares the
        host from waiting for counts half-way; if that was too little, they are rendered again."""
        key = len(rays), stretch
        room = self.recent.get(key)
        rendering, _, demand = self(rays, stage, room=room, only=only, stretch=stretch)
        if not chosen(self.kernels, self.device) or not isinstance(stage.neighbors, GridNeighbors):
            return rendering
        samples, *rows = torch.cat([demand.samples, demand.rows]).tolist()
        if room is not None and (samples > room.samples or any(n > m for n, m in zip(rows, room.rows))):
            rendering = self(rays, stage, only=only, stretch=stretch)[0]
        self.recent[key] = Room(padded(samples * 5 // 4), tuple(padded(n * 5 // 4 + 1) for n in rows))
        return rendering

    def camera_rays(self, camera: Camera) -> Rays:
        """The rays through all pixels, row by row, of the first body."""
        x, y = torch.arange(camera.width, device=self.device), torch.arange(camera.height, device=self.device)
        grid = torch.stack(torch.meshgrid(x.float(), y.float(), indexing="xy"), -1).flatten(0, 1)
        origins, directions = camera.rays(grid)
        return Rays(origins, directions, torch.zeros(len(grid), dtype=torch.long, device=self.device))
