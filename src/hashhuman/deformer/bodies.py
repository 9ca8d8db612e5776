"""Everything about a set of posed bodies that queries need, computed once and kept on the device."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body import skinning
from hashhuman.body.template import BodyPose, BodyTemplate


@dataclasses.dataclass(frozen=True)
class PosedBodies:
    """F frames of one template. Metres."""

    world_from_posed: Float[Tensor, "F 4 4"]
    canonical_from_posed: Float[Tensor, "F V 3 4"]  # each body point's own affine map
    vertices: Float[Tensor, "F V 3"]  # posed space
    time: Int[Tensor, "F"]  # index among the training frames; -1: a pose that training did not see

    @classmethod
    def from_poses(cls, template: BodyTemplate, poses: Sequence[BodyPose], time: Int[Tensor, "F"]) -> "PosedBodies":
        """Poses the template; canonical is the template's big pose."""
        bones = template.bone_transforms(torch.stack([pose.poses for pose in poses]))
        posed = torch.einsum("vj,fjab->fvab", template.lbs_weights, bones)
        vertices = skinning.transform(posed, template.vertices)
        canonical = skinning.blend(template.lbs_weights, template.bone_transforms(template.big_pose()))
        canonical_from_posed = canonical @ skinning.invert_affine(posed)
        world = torch.stack([pose.world_from_posed() for pose in poses])
        return cls(world, canonical_from_posed[..., :3, :].contiguous(), vertices, time)

    def to_posed(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """World points into the posed space of their frames: R^T (x - t)."""
        world = self.world_from_posed[frames]
        return ((points - world[:, :3, 3])[:, None] @ world[:, :3, :3])[:, 0]

    def directions_to_posed(self, directions: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """World directions into the posed space of their frames."""
        return (directions[:, None] @ self.world_from_posed[frames, :3, :3])[:, 0]


@dataclasses.dataclass(frozen=True)
class Shell:
    """The voxels of posed space within reach of each posed body: the only places where samples are put."""

    origin: Float[Tensor, "F 3"]  # lowest corner of the first voxel, posed space (m)
    end: Float[Tensor, "F 3"]  # highest corner of the last one
    voxel: float
    occupied: Bool[Tensor, "F X Y Z"]

    @classmethod
    def around(cls, vertices: Float[Tensor, "F V 3"], reach: float, voxel: float) -> "Shell":
        """Marks each voxel whose centre lies within `reach` (m) and half a diagonal of a body point."""
        radius = reach + 0.5 * 3**0.5 * voxel
        origin = vertices.amin(1) - radius - voxel
        shape = ((vertices.amax(1) + radius + voxel - origin) / voxel).amax(0).ceil().long().tolist()
        occupied = torch.zeros(len(vertices), *shape, dtype=torch.bool, device=vertices.device)
        steps = int(radius / voxel) + 1
        span = torch.arange(-steps, steps + 1, device=vertices.device)
        around = torch.stack(torch.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)
        for frame in range(len(vertices)):
            cell = (vertices[frame] - origin[frame]) / voxel - 0.5  # in units of voxels, from the first centre
            near = cell.round().long()[:, None] + around
            x, y, z = near[((near - cell[:, None]) * voxel).norm(dim=-1) < radius].unbind(1)
            occupied[frame, x, y, z] = True
        return cls(origin, origin + torch.tensor(shape, device=origin.device) * voxel, voxel, occupied)

    def bounds(self) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
        """Corners of each frame's grid in posed space (m)."""
        return self.origin, self.end

    def contains(self, points: Float[Tensor, "N S 3"], frames: Int[Tensor, "N"]) -> Bool[Tensor, "N S"]:
        """Whether posed-space points lie in marked voxels of their frames."""
        cells = ((points - self.origin[frames, None]) / self.voxel).floor().long()
        inside = (cells >= 0).all(-1)
        for axis, size in enumerate(self.occupied.shape[1:]):
            inside = inside & (cells[..., axis] < size)
        x, y, z = torch.where(inside[..., None], cells, 0).unbind(-1)
        return inside & self.occupied[frames[:, None], x, y, z]
