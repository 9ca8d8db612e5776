"""The hash-grid human NeRF: a body, its deformation and its canonical field, rendered by ray marching."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hashhuman.avatar.carving import Carving, allowed_cells, facing
from hashhuman.avatar.graph_images import GraphImages
from hashhuman.avatar.images import EagerImages, RenderedImage
from hashhuman.avatar.loop_images import LoopImages
from hashhuman.avatar.pose_fit import fit_pose
from hashhuman.avatar.prediction import Prediction, RayOutputs
from hashhuman.avatar.scene import Scene
from hashhuman.avatar.search_index import LinkedIndex, SearchIndex, drop_empty_voxels, link, relink
from hashhuman.avatar.surface import Surface
from hashhuman.avatar.warmup import warm_up
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.spreading import SurfaceGraph
from hashhuman.body.symmetry import opposite
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.batch import RayBatch
from hashhuman.data.outlines import Outlines
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.deformer.residual import Residual
from hashhuman.field.base import CanonicalField
from hashhuman.field.occupancy import Occupancy
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays
from hashhuman.gpu.backend import chosen, looped
from hashhuman.gpu.capacity import IndexCapacity, RayCapacity, RayNeeds
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.pose.table import FixedPoses, PoseTable
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import ALL_BINS, ShellSampler
from hashhuman.renderer.volume import Rendering, Samples, composite, weigh

FAINT = 1e-3  # a sample of at most this weight changes a pixel by less than half of one of 255 grey levels


class HashGridAvatar(nn.Module):
    """Renders a learned person from any camera in any pose; implements `avatar/protocol.py`.

    Args:
        template: the body at rest.
        part_points: indices of each part's points among the template's vertices.
        field: colour and density of canonical space.
        occupancy: marks the cells of canonical space that are not known to be empty.
        skinning: carries points from posed to canonical space.
        residual: learned displacement of canonical positions.
        neighbors: makes a neighbour index from posed points and parts.
        sampler: chooses the samples along rays.
        shell_voxel: side (m) of the voxels of the shell, in which samples may lie.
        chunk, front_bins: see `EagerImages` and `LoopImages`.
        prune_after: optimizer steps before cells that the field leaves empty are no longer sampled; None: all cells
            are always sampled.
        prune_every: steps between two prunings after that.
        kernels: auto, triton or torch, for compositing.
        poses: the poses of the training frames; None: they stay as they were fitted.
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
        poses: PoseTable | None = None,
    ) -> None:
        super().__init__()
        self.template, self.part_points = template, list(part_points)
        self.field, self.occupancy, self.residual = field, occupancy, residual
        self.skinning, self.neighbors, self.sampler = skinning, neighbors, sampler
        self.shell_voxel, self.kernels = shell_voxel, kernels
        self.prune_after, self.prune_every = prune_after, prune_every
        self.poses = poses or FixedPoses(0, len(template.joints))
        self.surface: Surface | None = None  # `carve` makes it
        self.eager_images = EagerImages(self, chunk, front_bins)
        self.graph_images = GraphImages(self.eager_images)
        self.loop_images = LoopImages(self, chunk, front_bins * sampler.per_bin)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    # ------------------------------------------------------------------ posing

    def pose(self, poses: Sequence[BodyPose], time: Sequence[int] | Tensor | None = None) -> PosedBodies:
        """Poses the body; differentiable with respect to the poses.

        Args:
            time: each pose's index among the training frames; -1 for a pose that is not among them; None: -1 for all.
        """
        self.template = self.template.to(self.device)  # copies once; later calls find it there
        times = torch.as_tensor(time if time is not None else [-1] * len(poses), device=self.device)
        return PosedBodies.from_poses(self.template, [pose.to(self.device) for pose in poses], times)

    def scene(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> Scene:
        """Poses the body and indexes the space around it, for `render_rays` and `query`; `time` as for `pose`."""
        return self.measured_scene(poses, time)[0]

    def measured_scene(
        self,
        poses: Sequence[BodyPose],
        time: Sequence[int] | Tensor | None = None,
        capacity: IndexCapacity | None = None,
    ) -> tuple[Scene, Int[Tensor, "sizes"]]:
        """Makes a scene as `scene` does, within a fixed capacity.

        Args:
            capacity: sizes fixed beforehand; None: as large as needed, for which the host waits for the device.

        Returns:
            The scene, and the sizes that it needed in the order of `IndexCapacity.sizes`.
        """
        bodies = self.pose(poses, time)
        with torch.no_grad():
            index = self._index(bodies) if capacity is None else self._index(bodies, capacity.nodes, capacity.shell)
            voxels_and_rows = drop_empty_voxels(index, bodies, self.skinning, capacity)
            nodes = getattr(index.neighbors, "needed", voxels_and_rows.new_zeros(1))
            return Scene(bodies, index), torch.cat([nodes, index.shell.needed, voxels_and_rows])

    def _index(
        self,
        bodies: PosedBodies,
        nodes: int | None = None,
        shell: tuple[int, int, int] | None = None,
        spare: float = 0.0,
    ) -> SearchIndex:
        """An index whose shell contains all space near the bodies.

        Args:
            nodes, shell: as in `IndexCapacity`; None: as many as needed.
            spare: metres by which bodies may become larger before the index needs more memory.
        """
        self.part_points = [points.to(self.device) for points in self.part_points]
        vertices = bodies.vertices.detach()
        fixed = {} if nodes is None else {"capacity": nodes}
        neighbors = self.neighbors(vertices, self.part_points, spare=spare, **fixed)
        around = Shell.around(vertices, self.skinning.reach, self.shell_voxel, shell, spare)
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
        """Launches every kernel of training and rendering once, on small inputs (`avatar/warmup.py`)."""
        self.template = self.template.to(self.device)  # posing chooses its kernels by the template's device
        warm_up(self, len(self.template.joints), len(self.part_points), partial(self.poses.miniature, self.template))

    # ------------------------------------------------------------------ training

    def prepare(self, poses: Sequence[BodyPose], frames: Sequence[int] | None = None) -> Scene:
        """Poses the bodies of all training frames, with an index from which `prune` removes empty space.

        Args:
            poses: the fitted poses.
            frames: numbers of the frames, ascending; None: 0, 1, 2, ...
        """
        numbers = list(range(len(poses)) if frames is None else frames)
        self.template = self.template.to(self.device)
        self.poses.start(self.template, poses, numbers)
        bodies, moved = self.poses.indexed(self.pose(poses, range(len(poses))))
        with torch.no_grad():
            scene = Scene(bodies, self._linked(bodies))
        if moved is not None:
            scene, _ = self.refresh(dataclasses.replace(scene, bodies=moved[0]), moved[1])
        return scene

    def _linked(self, bodies: PosedBodies) -> LinkedIndex:
        return link(self._index(bodies, spare=self.poses.spare), bodies, self.skinning)

    @torch.no_grad()
    def refresh(self, scene: Scene, frames: Int[Tensor, "K"]) -> tuple[Scene, bool]:
        """Makes the index of those bodies that have moved since it was made. The host waits for the device.

        Args:
            scene: all bodies, with an index from `prepare` or from here.
            frames: which bodies have moved.

        Returns:
            The scene with the new index, and whether its memory was replaced. If the new index fits into the old
            memory, it is written there, so that CUDA graphs that read this memory stay valid.
        """
        assert isinstance(scene.index, LinkedIndex)
        index = relink(scene.index, scene.bodies, self.skinning, frames)
        return Scene(scene.bodies, index or self._linked(scene.bodies)), index is None

    def predict(self, batch: RayBatch, scene: Scene, capacity: RayCapacity | None = None) -> Prediction:
        """Renders a training batch with jittered samples; `capacity` as for `render_rays`."""
        bodies, poses = self.poses.bodies(scene.bodies)
        outputs = self.render_rays(batch.rays, Scene(bodies, scene.index), jitter=True, capacity=capacity)
        return Prediction(
            **vars(outputs), batch=batch, bodies=bodies, field=self.field, poses=poses, surface=self.surface
        )

    def after_step(self, scene: Scene, step: int) -> tuple[Scene, bool]:
        """Indexes bodies again that have moved too far, and prunes every `prune_every` steps.

        Returns:
            The scene for the next step, and whether that step must be captured again.
        """
        changed = self.poses.after_step(step)
        if (moved := self.poses.moved(scene.bodies)) is not None:
            bodies, frames = moved
            scene, replaced = self.refresh(dataclasses.replace(scene, bodies=bodies), frames)
            if replaced:
                self.poses.remade()
            changed |= replaced
        if self.prune_after is not None and step >= self.prune_after and step % self.prune_every == 0:
            self.prune(scene)
        return scene, changed

    def refined_pose(self, pose: BodyPose, frame: int) -> BodyPose:
        """The pose of a frame of the video as training has corrected it; see `RefinedPoses.corrected`."""
        return self.poses.corrected(pose, frame, self.template.joints[0])

    @torch.no_grad()
    def prune(self, scene: Scene) -> None:
        """Finds cells that the field leaves empty, and stops sampling them. `scene` must come from `prepare`.

        Does nothing with a learned displacement: it moves points out of cells that the links count as empty.
        """
        assert isinstance(scene.index, LinkedIndex)
        if self.residual.displaces:
            return
        self.occupancy.update(self.field, scene.index.cell_rows)
        scene.index.prune()

    def fit_pose(
        self, camera: Camera, image: Float[Tensor, "H W 3"], mask: Float[Tensor, "H W"], pose: BodyPose, **options: Any
    ) -> BodyPose:
        """Fits a pose to one picture, with the avatar as it is; `avatar/pose_fit.py` has the options."""
        return fit_pose(self, camera, image, mask, pose, **options)

    @torch.no_grad()
    def carve(self, scene: Scene, outlines: Outlines, seen: Bool[Tensor, "V"], carving: Carving) -> None:
        """Empties what projects outside the outlines of training pictures (`avatar/carving.py`), for good.

        May be called again with poses that have become better; cells that were carved away wrongly come back.

        Args:
            scene: the bodies of the training frames, from `prepare`.
            outlines: the outlines of training pictures.
            seen: which body points some training picture shows.
            carving: the settings of the vote.
        """
        assert isinstance(scene.index, LinkedIndex)
        bodies, reach = scene.bodies, self.skinning.reach
        graph = SurfaceGraph(bodies.canonical_vertices, bodies.canonical_normals)
        thickness, _ = carving.thickness(bodies, outlines, graph, reach)
        if not self.residual.displaces:  # a displacement moves points out of their cells
            cells = scene.index.cells
            self.occupancy.allow(allowed_cells(cells, bodies, outlines, carving, thickness, reach))
            scene.index.prune()
        if self.surface is not None:
            self.surface.update(seen, thickness)
            return
        light = facing(bodies, outlines)
        parts = [points.to(self.device) for points in self.part_points]
        self.surface = Surface(
            bodies, parts, graph, seen, opposite(self.template), thickness, reach, self.skinning.depth, light
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group with all parameters of the field and its deformation, and the groups of the poses."""
        poses = set(self.poses.parameters())
        rest = [parameter for parameter in self.parameters() if parameter not in poses]
        return [{"params": rest, "name": "avatar"}, *self.poses.parameter_groups()]

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
        """Renders rays (world frame, metres).

        Args:
            jitter: True: samples lie at random within their intervals, for training; False: in the middle.
            capacity: fixed sizes of all arrays whose length depends on the data; None: as large as needed, for which
                the host waits for the device.
            ray_mask, bins: which rays to render, and which of their bins; see `ShellSampler`.
        """
        n_samples = None if capacity is None else capacity.samples
        samples = self.sampler(rays, scene.bodies, scene.index.shell, jitter, n_samples, ray_mask, bins)
        rows = None if capacity is None else capacity.rows
        pairs, residual = self._to_canonical(sample_points(rays, samples), scene, rows)
        color, density = self.field(pairs)
        rendering = composite(color, density, samples, self.kernels)
        return RayOutputs(rendering, pairs, residual, RayNeeds(samples.needed, pairs.needed))

    @torch.no_grad()
    def render_visible(self, rays: Rays, scene: Scene, samples: Samples) -> Rendering:
        """Renders rays (world frame, metres) as `render_rays` does, without the colours of what is hardly seen.

        Args:
            samples: of the rays; all that `sample` returned, or some of them.
        """
        pairs, _ = self._to_canonical(sample_points(rays, samples), scene)
        weights = partial(weigh, samples=samples, kernels=self.kernels)
        color, density = self.field.visible(pairs, weights, FAINT)
        return composite(color, density, samples, self.kernels)

    def sample(self, rays: Rays, scene: Scene) -> Samples:
        """The samples of rays (world frame, metres) in the scene's shell, in the middle of their intervals."""
        return self.sampler(rays, scene.bodies, scene.index.shell, jitter=False)

    def _to_canonical(
        self, points: Points, scene: Scene, rows: tuple[int, ...] | None = None
    ) -> tuple[CanonicalPairs, Residual | None]:
        """Carries points to canonical space: skinning, then the learned displacement, which the pairs include."""
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
        """Colour and density (1/m) at world positions, as rays sample them; density 0 away from the bodies.

        If the scene has the pose `template.big_pose()` without orientation and translation, the world is canonical
        space.

        Args:
            positions: world positions (m).
            directions: unit viewing directions (world); None: along z. Only view-dependent fields use them.
            frames: index of each position's body in the scene; None: the first body.
        """
        if directions is None:
            directions = positions.new_tensor([0.0, 0.0, 1.0]).expand_as(positions)
        if frames is None:
            frames = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
        return self.field(self._to_canonical(Points(positions, directions, frames), scene)[0])

    @property
    def images(self) -> EagerImages | GraphImages | LoopImages:
        """Renders pictures, on the present device as fast as that allows."""
        if looped(self.kernels, self.device):
            return self.loop_images
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
            cameras: the views, of any size.
            pose: the body's pose.
            frame: the pose's index among the training frames, which selects parameters learned per frame; None for a
                pose that is not among them.
            background: grey level or RGB (3) in [0, 1].
        """
        behind = torch.as_tensor(background, device=self.device)
        for image in self.images(cameras, pose, -1 if frame is None else frame):
            yield dataclasses.replace(image, rgb=image.rgb + (1 - image.alpha[..., None]) * behind)


def sample_points(rays: Rays, samples: Samples) -> Points:
    """The samples as world positions (m) with their rays' directions."""
    # On a CPU, `index_select` takes a fraction of the time of indexing.
    origins, directions, frames = (
        values.index_select(0, samples.ray) for values in (rays.rays_o, rays.rays_d, rays.frames)
    )
    return Points(torch.addcmul(origins, directions, samples.t[:, None]), directions, frames, samples.start[-1:])
