"""The avatar: a body, its deformation, its canonical field and how they are rendered. Knows nothing of Lightning."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.camera import Camera
from hashhuman.deformer.bodies import PosedBodies, Shell
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.residual import Residual
from hashhuman.field.parts import PartsField
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.renderer.shell_sampler import ShellSampler
from hashhuman.renderer.volume import Rays, Rendering, Samples, composite


@dataclasses.dataclass(frozen=True)
class Stage:
    """Posed bodies with what is needed to find them: made once, rendered many times."""

    bodies: PosedBodies
    neighbors: NeighborIndex
    shell: Shell
    uv: Float[Tensor, "V 2"] | None


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
        skinning: posed to canonical.
        residual: learned displacement of canonical positions.
        neighbors: makes a neighbour index from posed points and parts.
        sampler: where to sample rays.
        shell_voxel: voxel (m) of the map of where samples may lie.
        chunk: samples evaluated at a time when rendering pictures; bounds the memory.
    """

    def __init__(
        self,
        template: BodyTemplate,
        part_points: Sequence[Int[Tensor, "_"]],
        field: PartsField,
        skinning: InverseSkinning,
        residual: nn.Module,
        neighbors: Callable[..., NeighborIndex],
        sampler: ShellSampler,
        shell_voxel: float,
        chunk: int,
    ) -> None:
        super().__init__()
        self.template, self.part_points = template, list(part_points)
        self.field, self.residual = field, residual
        self.skinning, self.neighbors, self.sampler = skinning, neighbors, sampler
        self.shell_voxel, self.chunk = shell_voxel, chunk

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @torch.no_grad()
    def stage(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> Stage:
        """Poses the body; `time` gives each pose's index among the training frames, -1 for a pose of its own."""
        template = self.template.to(self.device)
        times = torch.tensor(time if time is not None else [-1] * len(poses), device=self.device)
        bodies = PosedBodies.from_poses(template, [pose.to(self.device) for pose in poses], times)
        parts = [points.to(self.device) for points in self.part_points]
        neighbors = self.neighbors(bodies.vertices, parts)
        shell = Shell.around(bodies.vertices, self.skinning.reach, self.shell_voxel)
        return Stage(bodies, neighbors, shell, template.uv)

    def query(
        self,
        points: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
        frames: Int[Tensor, "N"],
        stage: Stage,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"], Residual | None]:
        """Colour, density (1/m) and the residual displacements at world points seen along world directions.

        A dummy point is added to the end, for pairs that only fill up a fixed size (`GridNeighbors.capacity`).
        """
        count = len(points)
        points, directions = (torch.cat([x, x.new_zeros(1, 3)]) for x in (points, directions))
        frames = torch.cat([frames, frames.new_zeros(1)])
        pairs = self.skinning(points, directions, frames, stage.bodies, stage.neighbors, stage.uv)
        residual = self.residual(pairs)
        if residual is not None:
            pairs = dataclasses.replace(pairs, x=pairs.x + residual.value)
            residual = dataclasses.replace(residual, real=pairs.point < count)
        color, density = self.field(pairs, count + 1)
        return color[:count], density[:count], residual

    def forward(self, rays: Rays, stage: Stage, jitter: bool = False) -> tuple[Rendering, Residual | None]:
        """Renders rays; also returns the residual displacements, for their losses."""
        return self.shade(rays, self.sampler(rays, stage.bodies, stage.shell, jitter), stage)

    def shade(self, rays: Rays, samples: Samples, stage: Stage) -> tuple[Rendering, Residual | None]:
        """Evaluates and composites the samples of rays."""
        points = rays.origins[:, None] + rays.directions[:, None] * samples.t[..., None]
        directions = rays.directions[:, None].expand_as(points)
        shape = points.shape[:2]
        frames = rays.frames[:, None].expand(shape)
        color, density, residual = self.query(points.flatten(0, 1), directions.flatten(0, 1), frames.flatten(), stage)
        return composite(color.unflatten(0, shape), density.unflatten(0, shape), samples), residual

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
        camera = camera.to(self.device)
        height, width = camera.height, camera.width
        rgb = torch.zeros(height * width, 3, device=self.device)
        alpha, depth = torch.zeros(height * width, device=self.device), torch.zeros(height * width, device=self.device)
        axes = torch.arange(height, device=self.device), torch.arange(width, device=self.device)
        y, x = torch.meshgrid(*axes, indexing="ij")
        origins, directions = camera.rays(torch.stack([x, y], -1).flatten(0, 1).float())
        rays = Rays(origins, directions, torch.zeros(height * width, dtype=torch.long, device=self.device))
        near, far = self.sampler.span(rays, stage.bodies, stage.shell)
        for pixels in (near < far).nonzero()[:, 0].split(max(1, self.chunk // self.sampler.n_samples)):
            samples = self.sampler(rays[pixels], stage.bodies, stage.shell, jitter=False)
            hit = samples.valid[:, 0]  # the box is wide around the body: most of its rays miss the shell
            pixels, samples = pixels[hit], samples[hit]
            rendering, _ = self.shade(rays[pixels], samples, stage)
            rgb[pixels], alpha[pixels], depth[pixels] = rendering.color, rendering.alpha, rendering.depth
        rgb = rgb + (1 - alpha[:, None]) * torch.as_tensor(background, device=self.device)
        depth = depth / alpha.clamp_min(1e-6) * (alpha > 0)
        return RenderedImage(
            rgb.unflatten(0, (height, width)), alpha.unflatten(0, (height, width)), depth.unflatten(0, (height, width))
        )
