"""A hash-grid human NeRF: a body, its deformation, its canonical field and how they are rendered."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hashhuman.avatar.graph_images import GraphImages
from hashhuman.avatar.images import EagerImages, RenderedImage
from hashhuman.avatar.prediction import Prediction, RayOutputs
from hashhuman.avatar.scene import Scene
from hashhuman.avatar.search_index import LinkedIndex, SearchIndex, drop_empty_voxels, link
from hashhuman.avatar.warmup import warm_up
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.batch import RayBatch
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.deformer.residual import Residual
from hashhuman.field.base import CanonicalField
from hashhuman.field.occupancy import Occupancy
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays
from hashhuman.gpu.backend import chosen
from hashhuman.gpu.capacity import IndexCapacity, RayCapacity, RayNeeds
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import ALL_BINS, ShellSampler
from hashhuman.renderer.volume import Samples, composite


class HashGridAvatar(nn.Module):
    """Renders a learned person from any camera in any pose (`avatar/protocol.py`).

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
        chunk, front_bins: of pictures (`EagerImages`).
        prune_after: optimizer steps before the field is trusted about what is empty; None: it never is.
        prune_every: steps between two prunings after that.
        kernels: auto, triton or torch, for compositing.
    """

    def __init__(
        self,
        template: BodyTemplate,
        part_points: Sequence[Int[Tensor, "_"]],
        field: CanonicalField,
        occupancy: Occupancy,
        skinning: InverseSkinning,
        residual: nn.Module,
        neighbors: Callable[..., NeighborIndex],
        sampler: ShellSampler,
        shell_voxel: float,
        chunk: int,
        front_bins: int = 5,
        prune_after: int | None = None,
        prune_every: int = 50,
        kernels: str = "auto",
    ) -> None:
        super().__init__()
        self.template, self.part_points = template, list(part_points)
        self.field, self.occupancy, self.residual = field, occupancy, residual
        self.skinning, self.neighbors, self.sampler = skinning, neighbors, sampler
        self.shell_voxel, self.kernels = shell_voxel, kernels
        self.prune_after, self.prune_every = prune_after, prune_every
        self.eager_images = EagerImages(self, chunk, front_bins)
        self.graph_images = GraphImages(self.eager_images)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    # ------------------------------------------------------------------ posing

    def pose(self, poses: Sequence[BodyPose], time: Sequence[int] | Tensor | None = None) -> PosedBodies:
        """Poses the body; differentiable with respect to the poses.

        Args:
            time: each pose's index among the training frames, -1 for a pose of its own; None: all are.
        """
        self.template = self.template.to(self.device)  # once: later calls find it there
        times = torch.as_tensor(time if time is not None else [-1] * len(poses), device=self.device)
        return PosedBodies.from_poses(self.template, [pose.to(self.device) for pose in poses], times)

    def scene(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> Scene:
        """Bodies in these poses, ready to be rendered; `time` as for `pose`."""
        return self.measured_scene(poses, time)[0]

    def measured_scene(
        self,
        poses: Sequence[BodyPose],
        time: Sequence[int] | Tensor | None = None,
        capacity: IndexCapacity | None = None,
    ) -> tuple[Scene, Int[Tensor, "sizes"]]:
        """`scene`, and what the capacity would have had to be, in the order of `IndexCapacity.sizes`.

        Args:
            capacity: sizes fixed beforehand; None: as large as need be, for which the host waits.
        """
        bodies = self.pose(poses, time)
        with torch.no_grad():
            index = self._index(bodies) if capacity is None else self._index(bodies, capacity.nodes, capacity.shell)
            voxels_and_rows = drop_empty_voxels(index, bodies, self.skinning, capacity)
            nodes = getattr(index.neighbors, "needed", voxels_and_rows.new_zeros(1))
            return Scene(bodies, index), torch.cat([nodes, index.shell.needed, voxels_and_rows])

    def _index(
        self, bodies: PosedBodies, nodes: int | None = None, shell: tuple[int, int, int] | None = None
    ) -> SearchIndex:
        """An index whose shell has everything near the bodies; `nodes` and `shell` as in `IndexCapacity`."""
        self.part_points = [points.to(self.device) for points in self.part_points]
        vertices = bodies.vertices.detach()
        fixed = {} if nodes is None else {"capacity": nodes}
        neighbors = self.neighbors(vertices, self.part_points, **fixed)
        around = Shell.around(vertices, self.skinning.reach, self.shell_voxel, shell)
        return SearchIndex(neighbors, around, self.occupancy.cells(self.field))

    def capture_obstacle(self) -> str | None:
        """What keeps rendering from being captured as a CUDA graph, as a clause; None if nothing does."""
        if not chosen(self.kernels, self.device):
            return "kernels=torch reads sizes back to the host"
        if getattr(self.neighbors, "func", self.neighbors) is not GridNeighbors:
            return "neighbors other than grid read sizes back to the host"
        reasons = (getattr(module, "uncapturable", None) for module in self.modules())
        return next((reason for reason in reasons if reason is not None), None)

    def warm_up(self) -> None:
        """Launches every kernel of training and rendering once, in miniature (`avatar/warmup.py`)."""
        warm_up(self, len(self.template.joints), len(self.part_points))

    # ------------------------------------------------------------------ training

    def prepare(self, poses: Sequence[BodyPose]) -> Scene:
        """The bodies of all training frames, with an index that follows what training finds empty."""
        bodies = self.pose(poses, range(len(poses)))
        with torch.no_grad():
            return Scene(bodies, link(self._index(bodies), bodies, self.skinning))

    @torch.no_grad()
    def refresh(self, scene: Scene) -> tuple[Scene, bool]:
        """Indexes bodies that have moved since the index was made; for which the host waits.

        Returns:
            The scene with the new index, and whether its memory was replaced. Where the bodies still fit, the old
            memory is filled anew, so that CUDA graphs that read it stay valid.
        """
        bodies, old = scene.bodies, scene.index
        index = self._index(bodies, *old.sizes())
        if fits := index.fits():
            old.copy_from(index)
        else:
            index = self._index(bodies)
        return Scene(bodies, link(old if fits else index, bodies, self.skinning)), not fits

    def predict(self, batch: RayBatch, scene: Scene, capacity: RayCapacity | None = None) -> Prediction:
        """Renders a training batch with jittered samples; `capacity` as for `render_rays`."""
        outputs = self.render_rays(batch.rays, scene, jitter=True, capacity=capacity)
        return Prediction(**vars(outputs), batch=batch, bodies=scene.bodies, field=self.field)

    def after_step(self, scene: Scene, step: int) -> bool:
        """Prunes now and then. Returns whether memory that a CUDA graph may hold was replaced: it never is."""
        if self.prune_after is not None and step >= self.prune_after and step % self.prune_every == 0:
            self.prune(scene)
        return False

    @torch.no_grad()
    def prune(self, scene: Scene) -> None:
        """Measures where the field has become empty, and samples that no more. `scene` is one of `prepare`.

        Not with a learned displacement, which carries points from cells that look empty to others.
        """
        assert isinstance(scene.index, LinkedIndex)
        if self.residual.displaces:
            return
        self.occupancy.update(self.field, scene.index.cell_rows)
        scene.index.prune()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group: everything learns at one rate."""
        return [{"params": list(self.parameters()), "name": "avatar"}]

    # ------------------------------------------------------------------ rays and pictures

    def render_rays(
        self,
        rays: Rays,
        scene: Scene,
        jitter: bool = False,
        capacity: RayCapacity | None = None,
        ray_mask: Bool[Tensor, "N"] | None = None,
        bins: tuple[int, int] = ALL_BINS,
    ) -> RayOutputs:
        """Renders rays.

        Args:
            jitter: whether samples lie at random in their intervals, for training, or in the middle.
            capacity: fixed sizes for everything whose size depends on the data; None: as large as need be, for which
                the host waits.
            ray_mask, bins: which rays, and which bins of them; see `ShellSampler`.
        """
        n_samples = None if capacity is None else capacity.samples
        samples = self.sampler(rays, scene.bodies, scene.index.shell, jitter, n_samples, ray_mask, bins)
        rows = None if capacity is None else capacity.rows
        pairs, residual = self._to_canonical(sample_points(rays, samples), scene, rows)
        color, density = self.field(pairs)
        rendering = composite(color, density, samples, self.kernels)
        return RayOutputs(rendering, pairs, residual, RayNeeds(samples.needed, pairs.needed))

    def _to_canonical(
        self, points: Points, scene: Scene, rows: tuple[int, ...] | None = None
    ) -> tuple[CanonicalPairs, Residual | None]:
        """Skinning, then the learned displacement, which the pairs include."""
        uv = scene.bodies.uv if self.residual.displaces else None
        pairs = self.skinning(points, scene.bodies, scene.index.neighbors, uv, scene.index.cells, rows)
        residual: Residual | None = self.residual(pairs)
        if residual is None:
            return pairs, None
        return dataclasses.replace(pairs, x=pairs.x + residual.value), residual

    def query(
        self,
        positions: Float[Tensor, "N 3"],
        scene: Scene,
        directions: Float[Tensor, "N 3"] | None = None,
        frames: Int[Tensor, "N"] | None = None,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Colour and density (1/m) at places in the world, as rays see them; density 0 away from the bodies.

        In a scene of `template.big_pose()` without orientation and translation, the world is canonical space.

        Args:
            positions: in the world (m).
            directions: unit, of the rays that look; None: along z. They matter for fields with view dependence alone.
            frames: which body of the scene; None: the first.
        """
        if directions is None:
            directions = positions.new_tensor([0.0, 0.0, 1.0]).expand_as(positions)
        if frames is None:
            frames = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
        return self.field(self._to_canonical(Points(positions, directions, frames), scene)[0])

    @property
    def images(self) -> EagerImages | GraphImages:
        """Renders pictures, on the present device as fast as that allows."""
        graph = self.device.type == "cuda" and self.capture_obstacle() is None
        return self.graph_images if graph else self.eager_images

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


def sample_points(rays: Rays, samples: Samples) -> Points:
    """The samples' places in the world."""
    directions = rays.rays_d[samples.ray]
    position = torch.addcmul(rays.rays_o[samples.ray], directions, samples.t[:, None])
    return Points(position, directions, rays.frames[samples.ray], samples.start[-1:])
